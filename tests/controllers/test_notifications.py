"""Notifications on the wire."""

from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import ask_to_pay, buy, database_snapshot, pay
from tests.factories import make_notification, make_product


def test_one_reads_what_the_shop_said_and_how_much_is_new(app, client, database, clock):
    amina, headers = new_caller(app, database, Role.CUSTOMER)
    with database.transaction() as session:
        order = buy(session, amina, (make_product(session, price_cents=149_950), 1))
        pay(session, ask_to_pay(session, order))
        second = make_notification(session, amina).id
    first = second - 2  # the seller was told something in between

    listed = client.get("/api/notifications", headers=headers)

    assert listed.headers["Cache-Control"] == "no-store"
    body = listed.get_json()
    assert (body["unread_count"], body["page"]) == (2, {"next": None, "has_more": False})
    assert body["data"][1] == {
        "id": first,
        "kind": "order_paid",
        "title": f"Order {order.number} is paid",
        "body": "We received KES 1500. Thank you.",
        "order_id": order.id,
        "product_id": None,
        "task_id": None,
        "created_at": "2026-11-22T09:00:00Z",
        "read_at": None,
    }
    clock.advance(minutes=1)
    for _ in range(2):
        answer = client.post(f"/api/notifications/{first}/read", headers=headers)
        assert (answer.status_code, answer.data) == (204, b"")
        clock.advance(minutes=1)
    page = client.get("/api/notifications?limit=1&unread=true", headers=headers).get_json()
    assert [row["id"] for row in page["data"]] == [second]
    assert page["unread_count"] == 1
    page = client.get("/api/notifications?unread=false", headers=headers).get_json()
    assert [(row["id"], row["read_at"]) for row in page["data"]] == [
        (first, "2026-11-22T09:01:00Z")
    ]
    assert client.post("/api/notifications/read-all", headers=headers).status_code == 204
    body = client.get("/api/notifications?unread=true", headers=headers).get_json()
    assert (body["data"], body["unread_count"]) == ([], 0)


def test_attack_34_what_another_was_told_is_not_there(app, client, database):
    amina, _ = new_caller(app, database, Role.CUSTOMER)
    with database.transaction() as session:
        theirs = make_notification(session, amina).id
    for role in Role:
        _, headers = new_caller(app, database, role)
        before = database_snapshot(database)
        listed = client.get(f"/api/notifications?user_id={amina.id}", headers=headers).get_json()
        assert (listed["data"], listed["unread_count"]) == ([], 0)
        answers = [
            client.post(f"/api/notifications/{number}/read", headers=headers)
            for number in (theirs, 999)
        ]
        for answer in answers:
            assert is_refused(answer, 404, "notification_not_found")
        details = {answer.get_json()["detail"] for answer in answers}
        assert len(details) == 1
        client.post("/api/notifications/read-all", headers=headers)
        assert database_snapshot(database) == before
    refusal = client.get("/api/notifications?unread=maybe", headers=headers)
    assert is_refused(refusal, 400, "invalid_input", "unread")
