"""Money that only a person can decide about, on the wire."""

import pytest
from sqlalchemy import func, select

from app.models import Decision, Order, Task
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import database_snapshot
from tests.factories import NOW, make_user
from tests.looking import is_sound
from tests.matters import (
    comes_in,
    disputed,
    found_paid,
    given_up,
    late,
    new_order,
    stuck,
    the_task,
    two_receipts,
    unmatched,
)

WHY = {"reason": "It is on the statement."}


@pytest.fixture
def admin(app, database):
    return new_caller(app, database, Role.ADMIN)[1]


def made(database, make) -> Task:
    with database.transaction() as session:
        return make(session)


def decisions(database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Decision))


def test_the_queue_says_what_waits_since_when_and_for_how_much(client, database, admin):
    debt, money = made(database, late), made(database, lambda s: unmatched(s, cents=99_950))
    listed = client.get("/api/exceptions?include_total=true", headers=admin).get_json()

    assert [row["id"] for row in listed["data"]] == [debt.id, money.id]
    assert listed["page"] == {"next": None, "has_more": False, "total": 2}
    assert listed["data"][1] == {
        "id": money.id,
        "kind": "unmatched_money",
        "title": "KES 999.5 came without an order (receipt UKC0000001)",
        "description": money.description,
        "status": "todo",
        "priority": "high",
        "amount": 999.5,
        "currency": "KES",
        "order_id": None,
        "order_number": None,
        "transaction_id": None,
        "refund_id": None,
        "mpesa_receipt": "UKC0000001",
        "assignee_id": None,
        "assignee_name": None,
        "due_at": None,
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
    }
    one = {"count": 1, "oldest_at": "2026-11-22T09:00:00Z"}
    assert listed["counts"] == {
        "total": {"count": 2, "amount": 2499.5, "oldest_at": "2026-11-22T09:00:00Z"},
        "by_kind": {
            "late_money": {**one, "amount": 1500},
            "unmatched_money": {**one, "amount": 999.5},
        },
    }


def test_the_queue_is_sorted_and_filtered(app, client, database, admin):
    with database.transaction() as session:
        big = unmatched(session, receipt="UKBIG00001", cents=900_000)
        small = unmatched(session, receipt="UKSMALL001", cents=100)
        debt = late(session)
        keeper = make_user(session, Role.ADMIN, username="mkuu")
        small.assignee_id = keeper.id

    def ids(query: str = "") -> list[int]:
        answer = client.get(f"/api/exceptions?{query}", headers=admin)
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.get_json()["data"]]

    assert ids() == [big.id, small.id, debt.id]
    assert ids("sort=most_money") == [big.id, debt.id, small.id]
    assert ids("kind=late_money") == [debt.id]
    assert ids(f"assignee_id={keeper.id}") == [small.id]
    assert ids("unassigned=true") == [big.id, debt.id]
    assert ids("filed_before=2026-11-22T09:00:00Z") == []
    assert ids("filed_before=2026-11-22T09:00:01Z&sort=most_money&limit=1") == [big.id]
    assert ids("open=false") == []
    first = client.get("/api/exceptions?sort=most_money&limit=2", headers=admin).get_json()
    rest = f"sort=most_money&limit=2&cursor={first['page']['next']}"
    assert ids(rest) == [small.id]
    client.post(f"/api/exceptions/{small.id}/dismiss", json=WHY, headers=admin)
    assert (ids("open=false"), small.id in ids()) == ([small.id], False)
    for wrong in ("kind=manual", "kind=webhook_failing", "sort=newest", "unassigned=maybe"):
        assert client.get(f"/api/exceptions?{wrong}", headers=admin).status_code == 400, wrong


def test_a_file_holds_what_is_known_and_hides_who_paid(client, database, admin):
    with database.transaction() as session:
        order = new_order(session)
        typed = ("2" if order.number[0] != "2" else "3") + order.number[1:]
        comes_in(
            session,
            "UKC0000001",
            150_000,
            typed,
            payer_phone="254711222333",
            payer_name="JANE WANJIKU DOE",
            transacted_at=NOW,
        )
        task = the_task(session, "unmatched_money")
    file = client.get(f"/api/exceptions/{task.id}", headers=admin).get_json()

    assert file["actions"] == ["attach", "refund", "dismiss", "note"]
    assert file["receipt"] == {
        "mpesa_receipt": "UKC0000001",
        "amount": 1500,
        "state": "unmatched",
        "source": "c2b",
        "transaction_id": None,
        "account_typed": typed,
        "payer_phone": "2547****333",
        "payer_name": "JANE W. D.",
        "transacted_at": "2026-11-22T09:00:00Z",
        "created_at": "2026-11-22T09:00:00Z",
    }
    assert file["suggestions"] == [
        {
            "order_id": order.id,
            "order_number": order.number,
            "status": "pending",
            "clue": "number",
            "effect": "pays",
            "excess": 0,
            "lacking": 0,
        }
    ]
    assert file["refund_offers"] == [
        {"transaction_id": None, "mpesa_receipt": "UKC0000001", "amount": 1500}
    ]
    assert (file["order"], file["transaction"], file["decisions"]) == (None, None, [])


def test_a_file_of_a_payment_holds_its_steps_and_what_a_decision_would_do(client, database, admin):
    task = made(database, disputed)
    file = client.get(f"/api/exceptions/{task.id}", headers=admin).get_json()

    assert file["actions"] == ["is_there", "not_there", "note"]
    assert file["if_not_there"] == {"undoes_sale": True, "loss": 0}
    assert [step["to_status"] for step in file["history"]] == [
        "created",
        "pending",
        "succeeded",
        "succeeded",
    ]
    assert (file["order"]["status"], file["transaction"]["id"]) == ("paid", task.payment_id)
    paid = client.get(f"/api/exceptions/{made(database, given_up).id}", headers=admin).get_json()
    assert paid["if_paid"] == {"effect": "pays", "excess": 0, "lacking": 0}


def test_money_is_given_to_an_order_as_it_was_foretold_and_once(client, database, admin):
    with database.transaction() as session:
        task, order = unmatched(session), new_order(session)
    address = f"/api/exceptions/{task.id}/attach"
    before = database_snapshot(database)
    asked = client.get(f"{address}?order_number={order.number.lower()}", headers=admin)
    assert asked.get_json() == {
        "order_id": order.id,
        "order_number": order.number,
        "effect": "pays",
        "excess": 0,
        "lacking": 0,
    }
    assert is_refused(
        client.get(f"{address}?order_number=NOSUCH", headers=admin),
        400,
        "invalid_input",
        "order_number",
    )
    assert is_refused(
        client.post(address, json={"order_number": "NOSUCH"}, headers=admin),
        400,
        "invalid_input",
        "order_number",
    )
    body = {"order_number": order.number, "expected": "owed_back"}
    assert is_refused(client.post(address, json=body, headers=admin), 409, "effect_changed")
    assert database_snapshot(database) == before

    body["expected"] = "pays"
    keyed = {**admin, "Idempotency-Key": "tap"}
    first, second = (client.post(address, json=body, headers=keyed) for _ in range(2))
    assert (first.status_code, second.data) == (200, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    file = first.get_json()
    assert (file["matter"]["status"], file["actions"]) == ("done", [])
    assert [made["action"] for made in file["decisions"]] == ["matched"]
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"
    assert is_refused(client.post(address, json=body, headers=admin), 409, "already_decided")
    assert is_refused(
        client.get(f"{address}?order_number={order.number}", headers=admin), 409, "not_possible_now"
    )
    assert (decisions(database), is_sound(database)) == (1, True)


def test_each_decision_answers_with_what_is_known_then(client, database, admin):
    seen = {"mpesa_receipt": " ukseen0001 ", **WHY}
    for make, path, body, action in (
        (given_up, "paid", seen, "paid"),
        (given_up, "not-paid", WHY, "not_paid"),
        (found_paid, "receipt", {**seen, "mpesa_receipt": "UKSEEN0002"}, "receipt"),
        (disputed, "is-there", WHY, "is_there"),
        (disputed, "not-there", WHY, "not_there"),
        (two_receipts, "dismiss", WHY, "dismiss"),
        (two_receipts, "paid", {**seen, "mpesa_receipt": "UKSECOND02", "amount": "1500"}, "paid"),
    ):
        with database.transaction() as session:
            task = make(session)
        answer = client.post(f"/api/exceptions/{task.id}/{path}", json=body, headers=admin)
        assert answer.status_code == 200, answer.text
        file = answer.get_json()
        assert (file["matter"]["id"], file["matter"]["status"]) == (task.id, "done")
        assert (file["decisions"][-1]["action"], file["actions"]) == (action, [])
        assert WHY["reason"] in file["decisions"][-1]["reason"]
        again = client.post(f"/api/exceptions/{task.id}/{path}", json=body, headers=admin)
        assert is_refused(again, 409, "already_decided")
    assert is_sound(database)


def test_a_stuck_message_is_processed_again_at_once(client, database, admin):
    task = made(database, stuck)
    answer = client.post(f"/api/exceptions/{task.id}/retry", headers=admin).get_json()

    assert (answer["matter"]["status"], answer["messages"][0]["outcome"]) == ("done", "unreadable")
    assert [made["action"] for made in answer["decisions"]] == ["retry", "processed"]
    assert answer["messages"][0]["body"] == "{}"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("dismiss", {}, "reason"),
        ("dismiss", {"reason": "no"}, "reason"),
        ("dismiss", {**WHY, "amount": 1}, "amount"),
        ("note", {"note": " "}, "note"),
        ("attach", {}, "order_number"),
        ("attach", {"order_number": "K7M2Q9X", "expected": "wonders"}, "expected"),
        ("paid", WHY, "mpesa_receipt"),
        ("paid", {"mpesa_receipt": "UK-1", **WHY}, "mpesa_receipt"),
        ("paid", {"mpesa_receipt": "UKSEEN0001", "amount": 0, **WHY}, "amount"),
        ("paid", {"mpesa_receipt": "UKSEEN0001", "amount": -5, **WHY}, "amount"),
        ("receipt", {"mpesa_receipt": "UKSEEN0001", "amount": 5, **WHY}, "amount"),
        ("correct", WHY, "amount"),
    ],
)
def test_what_is_malformed_is_named_and_changes_nothing(client, database, admin, path, body, field):
    task = made(database, unmatched)
    before = database_snapshot(database)
    answer = client.post(f"/api/exceptions/{task.id}/{path}", json=body, headers=admin)
    assert is_refused(answer, 400, "invalid_input", field)
    assert database_snapshot(database) == before


def test_what_is_owed_cannot_be_closed_by_a_word_and_a_refusal_leaves_nothing(
    app, client, database, admin
):
    task = made(database, late)
    keyed = {**admin, "Idempotency-Key": "tap"}
    before = database_snapshot(database)
    for path, code in (
        ("dismiss", "money_still_owed"),
        ("not-paid", "payment_not_held"),
        ("is-there", "not_possible_now"),
    ):
        refusal = client.post(f"/api/exceptions/{task.id}/{path}", json=WHY, headers=keyed)
        assert is_refused(refusal, 409, code)
    done = client.put(f"/api/tasks/{task.id}", json={"status": "done"}, headers=admin)
    assert is_refused(done, 409, "needs_a_decision")
    assert is_refused(
        client.get("/api/exceptions/999999", headers=admin), 404, "exception_not_found"
    )
    assert database_snapshot(database) == before


def test_only_an_admin_is_told_anything(app, client, database, admin):
    task = made(database, unmatched)
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        session.merge(task).assignee_id = seller.id
    headers = sign_in(app, seller)
    before = database_snapshot(database)
    for path in ("", f"/{task.id}", f"/{task.id}/attach?order_number=K7M2Q9X"):
        assert is_refused(client.get(f"/api/exceptions{path}", headers=headers), 403, "forbidden")
    assert is_refused(
        client.post(f"/api/exceptions/{task.id}/dismiss", json=WHY, headers=headers),
        403,
        "forbidden",
    )
    assert database_snapshot(database) == before
