"""The visitor's own pages: profile, picture, notifications, tasks."""

import io

import pytest
from PIL import Image
from sqlalchemy import select

from app.models import LoginSession, Notification, Task, User
from app.policies import Role
from app.services.records import notify
from app.utils.passwords import hash_password, verify_password
from tests.core import database_snapshot
from tests.factories import CHEAP_HASH, make_user
from tests.web.browsing import Browser, signed_in, words

PASSWORD = "Correct horse 12"


@pytest.fixture
def user(database):
    with database.transaction() as session:
        user = make_user(session, Role.CUSTOMER)
        user.password_hash = hash_password(PASSWORD, CHEAP_HASH)
    return user


@pytest.fixture
def browser(app, user):
    return signed_in(app, user)


@pytest.fixture
def stranger(app, database):
    with database.transaction() as session:
        user = make_user(session, Role.CUSTOMER)
    return signed_in(app, user)


def one(database, model, **values):
    with database.reading() as session:
        return session.scalars(select(model).filter_by(**values)).one()


def test_names_are_changed_and_an_empty_phone_number_is_taken_away(browser, database, user):
    form = {"username": "amina.k", "email": "amina@shop.example", "phone_number": "0733 000 111"}
    answer = browser.post("/account/profile", form, follow=True)
    assert "Your profile is saved." in words(answer)
    saved = one(database, User, id=user.id)
    assert (saved.username, saved.email, saved.phone_number) == (
        "amina.k",
        "amina@shop.example",
        "254733000111",
    )
    browser.post("/account/profile", {**form, "phone_number": ""})
    assert one(database, User, id=user.id).phone_number is None


def test_a_wrong_field_is_said_beside_it_and_nothing_is_changed(browser, database):
    before = database_snapshot(database)
    answer = browser.post("/account/profile", {"username": "a!", "email": "amina@shop.example"})
    assert answer.status_code == 400
    assert 'id="e-username"' in answer.text
    assert database_snapshot(database) == before


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(app, browser, database, user):
    elsewhere = signed_in(app, user)
    form = {"current_password": "wrong", "password": "mvua ya masika 7"}
    before = database_snapshot(database)
    refused = browser.post("/account/password", form)
    assert (refused.status_code, 'id="e-current_password"' in refused.text) == (400, True)
    assert database_snapshot(database) == before
    browser.post("/account/password", {**form, "current_password": PASSWORD})
    saved = one(database, User, id=user.id)
    assert verify_password(saved.password_hash, "mvua ya masika 7", CHEAP_HASH)
    assert browser.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 303


def test_all_other_sessions_are_ended_on_demand(app, browser, database, user):
    elsewhere = signed_in(app, user)
    browser.post("/account/sessions/end")
    assert elsewhere.get("/account").status_code == 303
    assert browser.get("/account").status_code == 200
    with database.reading() as session:
        ended = session.scalars(select(LoginSession.revoked_reason)).all()
    assert sorted(ended, key=str) == [None, "logout"]


def test_a_picture_is_shown_and_removed(browser, database, user):
    image = io.BytesIO()
    Image.new("RGB", (400, 300), "#0a5c3b").save(image, "PNG")
    form = {"picture": (io.BytesIO(image.getvalue()), "me.png")}
    answer = browser.post("/account/picture", form, follow=True)
    shown = one(database, User, id=user.id).picture_url
    assert shown in answer.text
    assert browser.client.get(shown).mimetype == "image/webp"
    browser.post("/account/picture/delete")
    assert one(database, User, id=user.id).picture_url is None


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"<svg onload=alert(1)>", 415), (b"x" * (6 * 1024 * 1024 + 1), 413)],
    ids=["none", "no picture", "too big"],
)
def test_what_is_no_picture_is_refused_beside_the_field(browser, database, content, status):
    browser.get("/account")
    before = database_snapshot(database)
    answer = browser.post("/account/picture", {"picture": (io.BytesIO(content), "me.png")})
    assert answer.status_code == status
    assert database_snapshot(database) == before


def test_other_forms_stay_small(browser, database):
    browser.get("/account")
    before = database_snapshot(database)
    answer = browser.post("/account/profile", {"username": "x" * (1024 * 1024 + 1)})
    assert answer.status_code == 413
    assert database_snapshot(database) == before


def test_notifications_are_read_one_by_one_and_all_at_once(browser, database, user, clock):
    with database.transaction() as session:
        for number in (1, 2, 3):
            notify(session, user.id, "news", title=f"<b>News {number}</b>", body="x", now=clock())
    page = browser.get("/account/notifications")
    assert "<b>News 1</b>" in words(page)  # as text, brackets and all
    assert "3 unread" in words(page)
    first = one(database, Notification, title="<b>News 1</b>")
    browser.post(f"/account/notifications/{first.id}/read")
    assert "2 unread" in words(browser.get("/"))
    assert "News 1" not in words(browser.get("/account/notifications?unread=true"))
    browser.post("/account/notifications/read-all")
    assert "unread" not in words(browser.get("/account/notifications"))


def test_attack_34_nobody_reads_anothers_notifications(stranger, database, user, clock):
    with database.transaction() as session:
        notify(session, user.id, "news", title="Private", body="x", now=clock())
    note = one(database, Notification)
    assert "Private" not in stranger.get("/account/notifications").text
    before = database_snapshot(database)
    assert stranger.post(f"/account/notifications/{note.id}/read").status_code == 404
    assert database_snapshot(database) == before


def test_a_task_is_written_moved_on_changed_and_deleted(browser, database, user):
    browser.post(
        "/account/tasks",
        {"title": "Pack the boots", "description": "", "due_at": "2026-11-30", "priority": "high"},
    )
    task = one(database, Task)
    assert (task.owner_id, task.status, task.priority) == (user.id, "todo", "high")
    assert task.due_at.isoformat() == "2026-11-30T20:59:59+00:00"
    page = browser.get("/account/tasks?status=todo")
    assert "Pack the boots To do Urgent Due 30 Nov 2026" in words(page)
    browser.post(f"/account/tasks/{task.id}/status", {"status": "in_progress"})
    assert "Pack the boots" not in words(browser.get("/account/tasks?status=todo"))
    assert 'value="2026-11-30"' in browser.get(f"/account/tasks/{task.id}").text
    browser.post(f"/account/tasks/{task.id}", {"title": "Pack them", "status": "done"})
    changed = one(database, Task)
    assert (changed.title, changed.status, changed.due_at) == ("Pack them", "done", None)
    browser.post(f"/account/tasks/{task.id}/delete")
    with database.reading() as session:
        assert session.scalars(select(Task)).all() == []


@pytest.mark.parametrize(
    "form",
    [{"title": ""}, {"title": "x", "due_at": "tomorrow"}, {"title": "x", "priority": "asap"}],
    ids=["no title", "no day", "no priority"],
)
def test_a_task_that_cannot_be_read_is_shown_again(browser, database, form):
    before = database_snapshot(database)
    assert browser.post("/account/tasks", form).status_code == 400
    assert database_snapshot(database) == before


def test_attack_34_anothers_task_is_not_there(browser, stranger, database):
    browser.post("/account/tasks", {"title": "Mine"})
    task = one(database, Task)
    assert "Mine" not in stranger.get("/account/tasks").text
    before = database_snapshot(database)
    assert stranger.get(f"/account/tasks/{task.id}").status_code == 404
    for step in ("", "/status", "/delete"):
        answer = stranger.post(f"/account/tasks/{task.id}{step}", {"status": "done"})
        assert answer.status_code == 404
    assert database_snapshot(database) == before


def test_who_is_not_signed_in_is_sent_to_sign_in_and_back(app):
    for path in ("/account", "/account/notifications?unread=true", "/account/tasks"):
        answer = Browser(app).get(path)
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/login?next=/account")
