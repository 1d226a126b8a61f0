"""Webhooks on the wire."""

import json

import pytest
from sqlalchemy import select

from app.models import DeliveryState, DisabledReason, WebhookAttempt, WebhookDelivery
from app.policies import Role
from app.services.webhooks.emit import keep_event
from app.services.webhooks.event_types import EventType
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import after, database_snapshot
from tests.factories import NOW, SECRET_OF_WEBHOOKS, make_delivery, make_webhook

URL = "https://erp.example.co.ke/hook"
NEW = {"url": URL, "description": "The bookkeeping", "event_types": ["order.paid", "task.filed"]}
DONE = {"state": DeliveryState.DELIVERED, "next_attempt_at": None, "delivered_at": NOW}


@pytest.fixture
def admin(app, database):
    return new_caller(app, database, Role.ADMIN)


@pytest.fixture
def headers(admin):
    return admin[1]


@pytest.fixture
def endpoint(database, admin):
    with database.transaction() as session:
        return make_webhook(session, admin[0])


def stored(database, row):
    with database.reading() as session:
        return session.get_one(type(row), row.id)


def test_a_webhook_is_added_read_changed_listed_and_removed(client, admin, database):
    user, headers = admin
    made = client.post("/api/webhooks", json=NEW, headers=headers)

    assert made.status_code == 201
    assert made.headers["Location"] == "/api/webhooks/1"
    assert made.headers["Cache-Control"] == "no-store"
    secret = made.get_json()["secret"]
    shown = {
        "id": 1,
        "url": URL,
        "description": "The bookkeeping",
        "event_types": ["order.paid", "task.filed"],
        "enabled": True,
        "disabled_at": None,
        "disabled_reason": None,
        "failing_since": None,
        "last_success_at": None,
        "created_by": user.id,
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
    }
    assert made.get_json() == {**shown, "secret": secret}
    assert secret.startswith("whsec_")
    assert client.get("/api/webhooks/1", headers=headers).get_json() == shown
    for change, expected in (
        ({"enabled": False}, {"disabled_reason": "by_admin", "enabled": False}),
        ({"enabled": True, "event_types": None}, {"event_types": None}),
        ({"description": "Books", "url": URL + "2"}, {"description": "Books", "url": URL + "2"}),
    ):
        changed = client.patch("/api/webhooks/1", json=change, headers=headers)
        assert changed.status_code == 200
        assert changed.get_json().items() >= expected.items()
    listed = client.get("/api/webhooks?include_total=true", headers=headers)
    assert listed.get_json() == {
        "data": [changed.get_json()],
        "page": {"next": None, "has_more": False, "total": 1},
    }
    assert client.delete("/api/webhooks/1", headers=headers).status_code == 204
    gone = client.get("/api/webhooks/1", headers=headers)
    assert is_refused(gone, 404, "webhook_not_found")
    assert client.get("/api/webhooks", headers=headers).get_json()["data"] == []


def test_a_webhook_sent_twice_under_one_key_is_added_once_with_one_secret(client, headers):
    keyed = {**headers, "Idempotency-Key": "tap"}
    first, second = (client.post("/api/webhooks", json=NEW, headers=keyed) for _ in range(2))
    assert (second.data, second.headers["Idempotent-Replayed"]) == (first.data, "true")
    other = client.post("/api/webhooks", json={**NEW, "url": URL + "2"}, headers=keyed)
    assert is_refused(other, 422, "idempotency_key_reused")
    assert len(client.get("/api/webhooks", headers=headers).get_json()["data"]) == 1


def test_a_secret_is_shown_once_and_never_again(client, headers, database):
    secret = client.post("/api/webhooks", json=NEW, headers=headers).get_json()["secret"]
    for path in ("/api/webhooks", "/api/webhooks/1", "/api/webhooks/1/deliveries"):
        assert secret not in client.get(path, headers=headers).text
    changed = client.patch("/api/webhooks/1", json={"description": "x"}, headers=headers)
    assert secret not in changed.text
    rotated = client.post("/api/webhooks/1/rotate-secret", headers=headers)
    assert rotated.status_code == 200
    assert rotated.get_json()["secret"] not in {secret, ""}
    assert rotated.headers["Cache-Control"] == "no-store"


def test_a_secret_changed_twice_under_one_key_is_changed_once(client, headers, endpoint, database):
    keyed = {**headers, "Idempotency-Key": "tap"}
    path = f"/api/webhooks/{endpoint.id}/rotate-secret"
    first, second = (client.post(path, headers=keyed) for _ in range(2))
    assert second.data == first.data
    kept = stored(database, endpoint)
    assert (kept.secret_version, kept.secret, kept.previous_secret) == (
        2,
        first.get_json()["secret"],
        SECRET_OF_WEBHOOKS,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5432",
        "https://127.0.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://localhost./",
        "https://erp.example.co.ke@127.0.0.1/",
        "https://inside.example.co.ke/hook",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
    ],
)
def test_attack_67_an_address_that_leads_inside_is_refused_and_nothing_is_called(
    client, headers, endpoint, database, webhooks, url
):
    webhooks.closed.add("inside.example.co.ke")  # what its name resolves to says so
    before = database_snapshot(database)
    added = client.post("/api/webhooks", json={"url": url}, headers=headers)
    assert is_refused(added, 400, "address_refused", "url")
    changed = client.patch(f"/api/webhooks/{endpoint.id}", json={"url": url}, headers=headers)
    assert is_refused(changed, 400, "address_refused", "url")
    assert database_snapshot(database) == before
    assert webhooks.sent == []


def test_outside_the_simulator_only_https_is_called(make_app, database):
    app = make_app(mpesa_env="sandbox")
    _, headers = new_caller(app, database, Role.ADMIN)
    answer = app.test_client().post(
        "/api/webhooks", json={"url": "http://erp.example.co.ke/"}, headers=headers
    )
    assert is_refused(answer, 400, "address_refused", "url")
    assert answer.get_json()["detail"] == "The address must begin with https://."


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["url"]),
        ({"url": ""}, ["url"]),
        ({"url": None}, ["url"]),
        ({"url": 5}, ["url"]),
        ({"url": URL, "secret": "whsec_mine"}, ["secret"]),
        ({"url": URL, "enabled": False}, ["enabled"]),
        ({"url": URL, "event_types": []}, ["event_types"]),
        ({"url": URL, "event_types": ["order.paid", "order.sold"]}, ["event_types.1"]),
        ({"url": URL, "event_types": ["test"]}, ["event_types.0"]),
        ({"url": URL, "event_types": "order.paid"}, ["event_types"]),
        ({"url": URL, "event_types": ["order.paid"] * 40}, ["event_types"]),
        ({"url": URL, "description": "x" * 201}, ["description"]),
        ({"url": URL, "description": "a\x00b"}, ["description"]),
    ],
)
def test_what_is_wrong_with_a_webhook_is_named_and_changes_nothing(
    client, headers, database, webhooks, body, fields
):
    before = database_snapshot(database)
    answer = client.post("/api/webhooks", json=body, headers=headers)
    assert is_refused(answer, 400, "invalid_input", *fields)
    assert database_snapshot(database) == before


def test_a_second_one_for_an_address_is_refused(client, headers, endpoint, database):
    before = database_snapshot(database)
    again = client.post("/api/webhooks", json={"url": endpoint.url}, headers=headers)
    assert is_refused(again, 409, "webhook_exists")
    assert database_snapshot(database) == before


def test_a_test_is_put_on_its_way_once_for_each_key(client, headers, endpoint, database):
    keyed = {**headers, "Idempotency-Key": "tap"}
    path = f"/api/webhooks/{endpoint.id}/test"
    first, second = (client.post(path, headers=keyed) for _ in range(2))
    assert (first.status_code, second.data) == (202, first.data)
    delivery = first.get_json()
    assert first.headers["Location"] == f"/api/webhooks/{endpoint.id}/deliveries/1"
    assert delivery == {
        "id": 1,
        "event_id": delivery["event_id"],
        "event_type": "test",
        "state": "pending",
        "attempt_count": 0,
        "next_attempt_at": "2026-11-22T09:00:00Z",
        "last_status": None,
        "last_error": None,
        "last_duration_ms": None,
        "delivered_at": None,
        "created_at": "2026-11-22T09:00:00Z",
    }
    with database.reading() as session:
        assert len(session.scalars(select(WebhookDelivery)).all()) == 1


def test_deliveries_are_listed_by_state_and_read_with_body_and_attempts(
    client, headers, endpoint, database
):
    with database.transaction() as session:
        one = session.merge(endpoint)
        arrived = make_delivery(session, one, **DONE, attempt_count=2, last_status=204)
        waiting = make_delivery(session, one)
        for status, answer in ((500, "Oops <b>"), (204, None)):
            session.add(
                WebhookAttempt(
                    delivery_id=arrived.id,
                    status=status,
                    answer=answer,
                    duration_ms=9,
                    created_at=NOW,
                )
            )
    path = f"/api/webhooks/{endpoint.id}/deliveries"

    def listed(query: str = "") -> list[int]:
        page = client.get(path + query, headers=headers).get_json()
        return [row["id"] for row in page["data"]]

    assert listed() == [waiting.id, arrived.id]
    assert listed("?state=delivered") == [arrived.id]
    assert listed("?state=failed") == []
    first = client.get(f"{path}?limit=1", headers=headers)
    assert first.headers["Link"].startswith(f"<{path}?limit=1&cursor=")
    wrong = client.get(f"{path}?state=lost", headers=headers)
    assert is_refused(wrong, 400, "invalid_input", "state")
    file = client.get(f"{path}/{arrived.id}", headers=headers).get_json()
    assert file["payload"] == arrived.event.payload
    assert file["delivery"]["event_id"] == arrived.event.public_id
    assert [(one["status"], one["answer"]) for one in file["attempts"]] == [
        (204, None),
        (500, "Oops <b>"),
    ]
    missing = client.get(f"{path}/99999", headers=headers)
    assert is_refused(missing, 404, "delivery_not_found")
    with database.transaction() as session:
        other = make_webhook(session)
    crossed = client.get(f"/api/webhooks/{other.id}/deliveries/{arrived.id}", headers=headers)
    assert is_refused(crossed, 404, "delivery_not_found")


def test_one_is_sent_again_and_so_is_everything_since_a_moment(client, headers, endpoint, database):
    with database.transaction() as session:
        one = session.merge(endpoint)
        arrived, other = (make_delivery(session, one, **DONE) for _ in range(2))
        keep_event(session, EventType.ORDER_PAID, {"id": 1}, after(minutes=1))
    path = f"/api/webhooks/{endpoint.id}"
    again = client.post(f"{path}/deliveries/{arrived.id}/replay", headers=headers)
    assert (again.status_code, again.get_json()["state"]) == (202, "pending")
    assert again.get_json()["event_id"] == arrived.event.public_id
    for body, count in (
        ({"since": "2026-11-22T12:00:30+03:00"}, 1),  # what was never sent
        ({"since": "2026-11-22T09:00:00Z", "include_delivered": True}, 3),
    ):
        replayed = client.post(f"{path}/replay", json=body, headers=headers)
        assert (replayed.status_code, replayed.get_json()) == (202, {"replayed": count})
    assert stored(database, other).state == "pending"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-22"}, "since"),
        ({"since": "2026-11-22T09:00:00Z", "include_delivered": "yes"}, "include_delivered"),
        ({"since": "2026-11-22T09:00:00Z", "state": "failed"}, "state"),
    ],
)
def test_what_is_wrong_with_a_replay_is_named_and_sends_nothing(
    client, headers, endpoint, database, body, field
):
    before = database_snapshot(database)
    answer = client.post(f"/api/webhooks/{endpoint.id}/replay", json=body, headers=headers)
    assert is_refused(answer, 400, "invalid_input", field)
    assert database_snapshot(database) == before


def test_nothing_is_sent_to_a_disabled_webhook(client, headers, database, admin):
    with database.transaction() as session:
        closed = make_webhook(
            session, admin[0], disabled_at=NOW, disabled_reason=DisabledReason.GONE
        )
        delivery = make_delivery(session, closed, **DONE)
    before = database_snapshot(database)
    path = f"/api/webhooks/{closed.id}"
    for tail, body in (
        ("/test", None),
        (f"/deliveries/{delivery.id}/replay", None),
        ("/replay", {"since": "2026-11-22T09:00:00Z"}),
    ):
        answer = client.post(path + tail, json=body, headers=headers)
        assert is_refused(answer, 409, "webhook_disabled")
    assert database_snapshot(database) == before
    shown = client.get(path, headers=headers).get_json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")


def test_what_is_not_there_is_not_found(client, headers):
    for method, tail in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/deliveries"),
        ("GET", "/deliveries/1"),
        ("POST", "/test"),
        ("POST", "/rotate-secret"),
        ("POST", "/deliveries/1/replay"),
    ):
        body = {"enabled": True} if method == "PATCH" else None
        answer = client.open(f"/api/webhooks/77{tail}", method=method, json=body, headers=headers)
        assert is_refused(answer, 404, "webhook_not_found"), (method, tail)


def test_events_are_listed_as_they_are_told(client, headers, endpoint, database):
    with database.transaction() as session:
        one = session.merge(endpoint)
        event = make_delivery(session, one).event
        later = keep_event(session, EventType.TASK_FILED, {"id": 7}, after(hours=1))

    def listed(query: str = "") -> list[str]:
        page = client.get(f"/api/webhook-events{query}", headers=headers).get_json()
        return [row["id"] for row in page["data"]]

    assert listed() == [later.public_id, event.public_id]
    assert listed("?type=order.paid") == [event.public_id]
    assert listed("?created_after=2026-11-22T09:30:00Z") == [later.public_id]
    assert listed("?order_id=1") == listed("?type=test") == []
    row = client.get("/api/webhook-events?type=task.filed", headers=headers).get_json()["data"][0]
    assert json.loads(row["payload"])["data"] == {"id": 7}
    assert row["payload"] == later.payload
    wrong = client.get("/api/webhook-events?type=order.sold", headers=headers)
    assert is_refused(wrong, 400, "invalid_input", "type")
