"""Accounts and tasks in the office: whose they are to see, and what an admin decides of them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.models import LoginSession, Notification, Task, TaskKind, User
from app.policies import Role
from app.services.records import Matter, file_task
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer
from tests.factories import NOW, make_product, make_task, make_user
from tests.web.browsing import Browser, signed_in, words


@pytest.fixture
def users(database):
    with database.transaction() as session:
        return {
            "admin": make_user(session, Role.ADMIN, username="amina"),
            "seller": make_user(session, Role.SELLER, username="wanjiku"),
            "stranger": make_user(session, Role.SELLER, username="otieno"),
            "buyer": make_buyer(session, username="juma", phone_number="254711222333"),
        }


@pytest.fixture
def people(app, users):
    return {name: signed_in(app, user) for name, user in users.items()}


def stored(database, model, row):
    with database.reading() as session:
        return session.get_one(model, row.id)


def test_accounts_are_found_by_name_phone_role_and_access(people, users, database):
    with database.transaction() as session:
        session.get_one(User, users["stranger"].id).suspended_at = NOW

    def found(query: str) -> list[str]:
        answer = people["admin"].get(f"/office/users?{query}")
        assert answer.status_code == 200, query
        names = ("amina", "wanjiku", "otieno", "juma")
        return [name for name in names if f">{name}</a>" in answer.text]

    assert found("") == ["amina", "wanjiku", "otieno", "juma"]
    assert found("role=seller") == ["wanjiku", "otieno"]
    assert found("role=seller&suspended=false") == found("search=NJIK") == ["wanjiku"]
    assert found("suspended=true") == ["otieno"]
    assert found("search=0711+222+333") == found("search=JUMA") == ["juma"]
    assert found("search=%25%25") == []
    for wrong in ("role=boss", "search=x", "suspended=maybe", "cursor=nonsense"):
        answer = people["admin"].get(f"/office/users?{wrong}")
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), wrong


def test_an_account_is_shown_without_anything_that_opens_it(people, users, database):
    with database.transaction() as session:
        buy(session, users["buyer"], (make_product(session), 1))
    answer = people["admin"].get(f"/office/users/{users['buyer'].id}")
    shown = words(answer)
    for there in ("juma", "0711 222 333", "1 order placed", "Last signed in", "Customer"):
        assert there in shown, there
    assert f'href="/office/orders?buyer={users["buyer"].email.replace("@", "%40")}"' in answer.text
    assert users["buyer"].password_hash not in answer.text
    assert 'type="password"' not in answer.text
    assert people["admin"].get("/office/users/99999").status_code == 404


def test_nobody_but_an_admin_comes_to_the_accounts(app, people, users, database):
    address = f"/office/users/{users['buyer'].id}"
    people["admin"].get(address)
    before = database_snapshot(database)
    for name in ("seller", "buyer"):
        for path in ("/office/users", address):
            assert people[name].get(path).status_code == 403
        for path in ("role", "access"):
            assert people[name].post(f"{address}/{path}", {"role": "admin"}).status_code == 403
    assert Browser(app).post(f"{address}/role", {"role": "admin"}).status_code == 303
    for path, form, status in (
        ("role", {"role": "boss"}, 400),
        ("role", {}, 400),
        ("role", {"role": "seller", "password": "Correct horse 13"}, 400),
        ("access", {"suspended": "perhaps"}, 400),
        ("access", {"suspended": "true", "csrf_token": "made up"}, 403),
    ):
        assert people["admin"].post(f"{address}/{path}", form).status_code == status, form
    assert people["admin"].post("/office/users/99999/role", {"role": "seller"}).status_code == 404
    assert database_snapshot(database) == before


def test_a_role_counts_from_the_next_click_and_a_suspension_signs_out(people, users, database):
    address, admin = f"/office/users/{users['buyer'].id}", people["admin"]
    assert people["buyer"].get("/office/products").status_code == 403
    given = admin.post(f"{address}/role", {"role": "seller"}, follow=True)
    assert "The role is changed." in words(given)
    assert people["buyer"].get("/office/products").status_code == 200
    away = admin.post(f"{address}/access", {"suspended": "true"}, follow=True)
    assert "This account is suspended, and signed out everywhere." in words(away)
    assert people["buyer"].get("/office/products").status_code == 303
    with database.reading() as session:
        ended = session.scalars(
            select(LoginSession.revoked_reason).where(LoginSession.user_id == users["buyer"].id)
        ).all()
    assert ended == ["suspended"]
    again = admin.post(f"{address}/access", {"suspended": "false"}, follow=True)
    assert "This account may sign in again." in words(again)
    assert stored(database, User, users["buyer"]).suspended_at is None
    assert people["buyer"].get("/office/products").status_code == 303  # by a new sign-in alone


def test_the_last_admin_stays_and_one_of_two_may_go(people, users, database):
    address, admin = f"/office/users/{users['admin'].id}", people["admin"]
    assert "This is your own account." in words(admin.get(address))
    before = database_snapshot(database)
    for path, form in (("role", {"role": "customer"}), ("access", {"suspended": "true"})):
        refused = admin.post(f"{address}/{path}", form)
        assert refused.status_code == 409
        assert "This is the last admin. Make another account an admin first." in words(refused)
    assert database_snapshot(database) == before
    admin.post(f"/office/users/{users['seller'].id}/role", {"role": "admin"})
    gone = admin.post(f"{address}/role", {"role": "customer"})
    assert (gone.status_code, gone.headers["Location"]) == (303, "/")
    assert admin.get("/office/users").status_code == 403


@pytest.fixture
def matter(database, users):
    """Filed by the shop, about a payment for goods of the seller's."""
    with database.transaction() as session:
        order = buy(session, users["buyer"], (make_product(session, users["seller"]), 1))
        payment = ask_to_pay(session, order)
        about = Matter(TaskKind.WEBHOOK_FAILING, "Call them", "1,500\n<b>came</b> late", "late:1")
        file_task(session, about, NOW, payment=payment)
        session.flush()
        task = session.scalars(select(Task)).one()
        order_number = order.number
    return task, order_number


def test_what_the_shop_files_is_an_admins_until_it_is_given_to_somebody(
    people, users, database, matter
):
    task, order_number = matter
    address = f"/office/tasks/{task.id}"
    shown = people["admin"].get(address)
    for there in ("A webhook that fails", "1,500 <b>came</b> late", order_number, "by the shop"):
        assert there in words(shown), there
    for link in (f"/office/orders/{task.order_id}", f"/office/payments/{task.payment_id}"):
        assert f'href="{link}"' in shown.text
    assert ('name="title"' in shown.text, "Delete this task" in shown.text) == (False, False)
    assert people["seller"].get(address).status_code == 404
    form = {"status": "in_progress", "priority": "high", "due_at": "2026-11-30"}
    given = {**form, "assignee_id": users["seller"].id}
    assert "The task is saved." in words(people["admin"].post(address, given, follow=True))
    saved = stored(database, Task, task)
    assert (saved.assignee_id, saved.status, saved.due_at.isoformat()) == (
        users["seller"].id,
        "in_progress",
        "2026-11-30T20:59:59+00:00",
    )
    with database.reading() as session:
        told = select(Notification).where(Notification.kind == "task_assigned")
        assert session.scalars(told).one().user_id == users["seller"].id
    seller = people["seller"].get(address)
    assert order_number in words(seller)
    assert "/office/payments/" not in seller.text
    assert 'name="assignee_id"' not in seller.text
    done = people["seller"].post(address, {"status": "done", "priority": "high"})
    assert done.status_code == 303
    saved = stored(database, Task, task)
    assert (saved.status, saved.assignee_id, saved.due_at is None) == (
        "done",
        users["seller"].id,
        False,
    )


def test_a_task_is_changed_by_whom_it_concerns_and_only_as_far(
    app, people, users, database, matter
):
    task, _ = matter
    with database.transaction() as session:
        own = make_task(session, users["seller"], title="Count the boots")
    people["admin"].get(f"/office/tasks/{task.id}")
    before = database_snapshot(database)
    for name, path, form, status in (
        ("stranger", f"{own.id}", {"status": "done"}, 404),
        ("stranger", f"{own.id}/status", {"status": "done"}, 404),
        ("stranger", f"{own.id}/delete", {}, 404),
        ("seller", f"{task.id}/status", {"status": "done"}, 404),
        ("seller", f"{own.id}", {"title": "x", "assignee_id": "1"}, 400),
        ("seller", f"{own.id}", {"title": ""}, 400),
        ("seller", "new", {"title": "x", "assignee_id": "1"}, 400),
        ("seller", f"{own.id}/status", {"status": "lost"}, 400),
        ("admin", f"{task.id}", {"title": "Forget it", "status": "done"}, 400),
        ("admin", f"{task.id}", {"status": "done", "due_at": "soon"}, 400),
        ("admin", f"{task.id}", {"status": "done", "assignee_id": "99999"}, 400),
        ("admin", f"{task.id}/delete", {}, 409),
        ("buyer", "new", {"title": "x"}, 403),
        ("buyer", f"{own.id}/status", {"status": "done"}, 403),
    ):
        assert people[name].post(f"/office/tasks/{path}", form).status_code == status, (name, path)
    assert Browser(app).post(f"/office/tasks/{own.id}/delete").status_code == 303
    assert database_snapshot(database) == before
    assert (
        people["seller"].post(f"/office/tasks/{own.id}/status", {"status": "done"}).status_code
        == 303
    )
    assert stored(database, Task, own).status == "done"
    assert people["seller"].post(f"/office/tasks/{own.id}/delete").status_code == 303
    assert people["seller"].get(f"/office/tasks/{own.id}").status_code == 404


def test_saving_a_task_keeps_the_hour_and_the_hands_that_it_is_in(people, users, database):
    due = NOW + timedelta(days=2)
    with database.transaction() as session:
        task = make_task(session, users["seller"], due_at=due, assignee_id=users["buyer"].id)
    page = people["admin"].get(f"/office/tasks/{task.id}")
    assert f'value="{users["buyer"].id}" selected' in page.text  # no staff, yet it is theirs
    form = {"title": "Call Juma", "due_at": "2026-11-24", "assignee_id": users["buyer"].id}
    people["admin"].post(f"/office/tasks/{task.id}", {**form, "status": "todo"})
    saved = stored(database, Task, task)
    assert (saved.title, saved.due_at, saved.assignee_id) == ("Call Juma", due, users["buyer"].id)
    people["seller"].post(f"/office/tasks/{task.id}", {"title": "Call Juma", "due_at": ""})
    saved = stored(database, Task, task)
    assert (saved.due_at, saved.assignee_id) == (None, users["buyer"].id)


def test_open_tasks_stand_first_and_pages_go_on_where_the_last_one_ended(
    people, users, database, matter
):
    with database.transaction() as session:
        for number in range(22):
            status = "done" if number > 10 else "todo"
            make_task(session, users["seller"], title=f"Thing {number}.", status=status)

    def titles(answer) -> list[int]:
        return [int(piece.split(".")[0]) for piece in answer.text.split(">Thing ")[1:]]

    first = people["seller"].get("/office/tasks")
    onward = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    rest = people["seller"].get(onward)
    expected = [*range(10, -1, -1), *range(21, 10, -1)]
    assert titles(first) + titles(rest) == expected
    assert titles(people["seller"].get("/office/tasks?status=done&kind=manual"))[:1] == [21]
    assert titles(people["seller"].get("/office/tasks?kind=webhook_failing")) == []
    found = people["admin"].get("/office/tasks?kind=webhook_failing&status=todo")
    assert "Call them" in words(found)
    assert titles(found) == []
    assert titles(people["stranger"].get("/office/tasks")) == []
    for wrong in ("status=lost", "kind=lost", "assignee=x", "cursor=nonsense"):
        answer = people["admin"].get(f"/office/tasks?{wrong}")
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), wrong
