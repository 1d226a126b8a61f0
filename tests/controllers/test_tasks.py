"""Tasks on the wire."""

import pytest

from app.models import TaskKind
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import database_snapshot
from tests.factories import make_task, make_user


@pytest.fixture
def amina(app, database):
    return new_caller(app, database, Role.CUSTOMER)


def test_a_task_is_made_read_changed_listed_and_deleted(client, amina):
    user, headers = amina
    body = {
        "title": "Collect <b>{{7*7}}</b>",
        "description": "Ground floor\r\n</script>",
        "due_at": "2026-11-23T12:00:00+03:00",
        "priority": "high",
    }
    made = client.post("/api/tasks", json=body, headers=headers)

    assert made.status_code == 201
    assert made.headers["Location"] == "/api/tasks/1"
    assert made.headers["Cache-Control"] == "no-store"
    assert made.get_json() == {
        "id": 1,
        "kind": "manual",
        "title": "Collect <b>{{7*7}}</b>",
        "description": "Ground floor\n</script>",
        "status": "todo",
        "priority": "high",
        "due_at": "2026-11-23T09:00:00Z",
        "owner_id": user.id,
        "assignee_id": None,
        "order_id": None,
        "payment_id": None,
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
    }
    read = client.get("/api/tasks/1", headers=headers)
    assert read.get_json() == made.get_json()
    assert read.headers["Cache-Control"] == "no-store"
    for method, change in (("PUT", {"status": "in_progress"}), ("PATCH", {"due_at": None})):
        changed = client.open("/api/tasks/1", method=method, json=change, headers=headers)
        assert changed.status_code == 200
    assert changed.get_json() == {**made.get_json(), "status": "in_progress", "due_at": None}
    listed = client.get("/api/tasks?status=in_progress&include_total=true", headers=headers)
    assert listed.get_json() == {
        "data": [changed.get_json()],
        "page": {"next": None, "has_more": False, "total": 1},
    }
    assert client.get("/api/tasks?status=done", headers=headers).get_json()["data"] == []
    assert client.delete("/api/tasks/1", headers=headers).status_code == 204
    assert is_refused(client.get("/api/tasks/1", headers=headers), 404, "task_not_found")


def test_a_task_sent_twice_under_one_key_is_made_once(client, amina):
    headers = {**amina[1], "Idempotency-Key": "tap"}
    first, second = (
        client.post("/api/tasks", json={"title": "Collect"}, headers=headers) for _ in range(2)
    )

    assert (second.data, second.headers["Idempotent-Replayed"]) == (first.data, "true")
    assert len(client.get("/api/tasks", headers=amina[1]).get_json()["data"]) == 1


def test_attacks_34_and_36_a_list_holds_ones_own_whatever_is_asked_for(
    app, client, database, amina
):
    with database.transaction() as session:
        other = make_user(session, Role.SELLER)
        make_task(session, other)
        filed = make_task(session, None, kind=TaskKind.LATE_MONEY).id
        own = make_task(session, amina[0]).id
    for query in (
        "",
        f"?owner_id={other.id}&user_id={other.id}&include=payments&fields=dedupe_key",
    ):
        listed = client.get(f"/api/tasks{query}", headers=amina[1]).get_json()
        assert [row["id"] for row in listed["data"]] == [own]
        assert "dedupe_key" not in listed["data"][0]
    for query in (f"assignee_id={other.id}", "kind=late_money"):
        assert client.get(f"/api/tasks?{query}", headers=amina[1]).get_json()["data"] == []
    _, admin = new_caller(app, database, Role.ADMIN)
    listed = client.get("/api/tasks?kind=late_money", headers=admin).get_json()["data"]
    assert [(row["id"], row["owner_id"]) for row in listed] == [(filed, None)]
    before = database_snapshot(database)
    for task_id in (filed, own + 1):
        missing = is_refused(
            client.get(f"/api/tasks/{task_id}", headers=amina[1]), 404, "task_not_found"
        )
        assert missing
        for method in ("PUT", "DELETE"):
            response = client.open(
                f"/api/tasks/{task_id}", method=method, json={"status": "done"}, headers=amina[1]
            )
            assert is_refused(response, 404, "task_not_found")
    assert database_snapshot(database) == before


def test_what_is_wrong_with_a_task_is_named_and_changes_nothing(app, client, database, amina):
    other, _ = new_caller(app, database, Role.SELLER)
    with database.transaction() as session:
        own = make_task(session, amina[0], title="Collect").id
    before = database_snapshot(database)
    for body, status, code, fields in (
        ({"title": "x", "owner_id": other.id}, 400, "invalid_input", ["owner_id"]),
        ({"title": "x", "kind": "late_money"}, 400, "invalid_input", ["kind"]),
        ({"title": "x", "status": "doing"}, 400, "invalid_input", ["status"]),
        ({"title": "x", "order_id": 999}, 400, "invalid_input", ["order_id"]),
        ({"title": "x", "assignee_id": other.id}, 403, "may_not_assign", []),
        ({"title": "x", "assignee_id": 2**63 - 1}, 403, "may_not_assign", []),
    ):
        for method, path in (("POST", "/api/tasks"), ("PUT", f"/api/tasks/{own}")):
            response = client.open(path, method=method, json=body, headers=amina[1])
            assert is_refused(response, status, code, *fields)
    refusal = client.get("/api/tasks?status=Todo&order_id=x", headers=amina[1])
    assert is_refused(refusal, 400, "invalid_input", "status", "order_id")
    assert database_snapshot(database) == before
