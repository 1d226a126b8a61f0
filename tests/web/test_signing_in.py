"""Signing in to pages: the cookie, the form's token, and where one goes from there."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app import create_app
from app.models import LoginSession, User
from app.policies import Role
from app.utils.passwords import hash_password
from app.web.visitors import local_path
from tests.controllers.sign_in import sign_in
from tests.core import database_snapshot
from tests.factories import CHEAP_HASH, make_user
from tests.web.browsing import Browser, signed_in, words

PASSWORD = "Correct horse 12"
COOKIE = "__Host-sokoni"


@pytest.fixture
def user(database):
    with database.transaction() as session:
        user = make_user(session, Role.CUSTOMER)
        user.password_hash = hash_password(PASSWORD, CHEAP_HASH)
    return user


def credentials(user, **more):
    return {"name": user.username, "password": PASSWORD, **more}


def sessions(database):
    with database.reading() as session:
        return session.scalars(select(LoginSession)).all()


def cookie_line(answer):
    return next(
        line for line in answer.headers.getlist("Set-Cookie") if "sokoni=" in line.split(";")[0]
    )


def test_the_cookie_is_for_this_site_alone_and_for_no_script(app, user):
    answer = Browser(app).post("/login", credentials(user))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    attributes = {part.strip() for part in cookie_line(answer).split(";")[1:]}
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= attributes
    assert "Max-Age=2592000" in attributes


def test_attack_17_with_tls_its_name_forbids_other_hosts_to_set_it(app, config, ports, user):
    secure = create_app(replace(config, public_url="https://duka.example"), ports)
    browser = Browser(secure)
    base = {"base_url": "https://duka.example", "headers": {"Referer": "https://duka.example/"}}
    page = browser.client.get("/login", base_url=base["base_url"])
    assert "__Host-sokoni_forms=" in page.headers["Set-Cookie"]
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    answer = browser.client.post("/login", data=credentials(user, csrf_token=token), **base)
    name, *attributes = [part.strip() for part in cookie_line(answer).split(";")]
    assert name.startswith("__Host-sokoni=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not any(one.startswith("Domain") for one in attributes)


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({"csrf_token": ""}, {}),
        ({"csrf_token": "made.up.token"}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ],
    ids=["no token", "another token", "another site", "a neighbour"],
)
def test_attack_16_a_form_from_elsewhere_changes_nothing(app, database, user, form, headers):
    browser = Browser(app)
    page = browser.get("/login")
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    before = database_snapshot(database)
    answer = browser.client.post(
        "/login", data={**credentials(user), "csrf_token": token, **form}, headers=headers
    )
    assert answer.status_code == 403
    assert "This form is too old, or another page sent it." in answer.text
    assert database_snapshot(database) == before


def test_a_token_of_another_browser_is_no_token_of_this_one(app, database, user):
    theirs = Browser(app)
    theirs.get("/login")
    mine = Browser(app)
    mine.get("/login")
    mine._token = theirs._token
    assert mine.post("/login", credentials(user)).status_code == 403
    assert sessions(database) == []


def test_attack_18_signing_in_again_opens_another_session_with_other_secrets(app, database, user):
    browser = Browser(app)
    browser.post("/login", credentials(user))
    first, old_token = browser.client.get_cookie(COOKIE).value, browser._token
    assert browser.get("/login").headers["Location"] == "/"
    browser.get("/")
    browser.client.delete_cookie(COOKIE)
    browser.post("/login", credentials(user))
    assert browser.client.get_cookie(COOKIE).value != first
    assert len({one.id for one in sessions(database)}) == 2
    browser._token = old_token
    assert browser.post("/logout").status_code == 403


def test_the_cookie_opens_no_door_of_the_api_and_a_bearer_token_no_page(app, user):
    browser = signed_in(app, user)
    assert browser.client.get("/api/profile").status_code == 401
    page_token = browser.client.get_cookie(COOKIE).value
    bearer = {"Authorization": f"Bearer {page_token}"}
    assert browser.client.get("/api/profile", headers=bearer).status_code == 401
    access = sign_in(app, user)
    assert app.test_client().get("/api/profile", headers=access).status_code == 200
    stranger = app.test_client()
    assert stranger.get("/account", headers=access).status_code == 303
    stranger.set_cookie(COOKIE, access["Authorization"].removeprefix("Bearer "))
    assert stranger.get("/account").status_code == 303


def test_signing_out_ends_the_session_and_not_only_the_cookie(app, database, user):
    browser = signed_in(app, user)
    kept = browser.client.get_cookie(COOKIE).value
    browser.get("/")
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert [one.revoked_reason for one in sessions(database)] == ["logout"]
    browser.client.set_cookie(COOKIE, kept)
    assert browser.get("/account").headers["Location"] == "/login?next=/account"


def test_a_suspended_users_cookie_is_nobodys(app, database, user, clock):
    browser = signed_in(app, user)
    assert browser.get("/account").status_code == 200
    with database.transaction() as session:
        session.get_one(User, user.id).suspended_at = clock()
    assert browser.get("/account").status_code == 303


def test_a_wrong_password_and_an_unknown_name_look_the_same(app, database, user):
    answers = []
    for name, password in ((user.username, "wrong"), ("nobody.here", "wrong")):
        answer = Browser(app).post("/login", {"name": name, "password": password})
        answers.append((answer.status_code, words(answer)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert "The name or the password is wrong." in answers[0][1]
    assert sessions(database) == []


def test_a_password_is_never_sent_back(app, user):
    answer = Browser(app).post("/login", {"name": user.username, "password": "s3cret typed wrong"})
    assert "s3cret typed wrong" not in answer.text


def test_a_browser_that_guesses_has_to_wait(app, config, ports, database, user):
    limited = create_app(
        replace(config, rate_limits_enabled=True, login_failure_limit="2 per minute"), ports
    )
    browser = Browser(limited)
    statuses = [
        browser.post("/login", {"name": user.username, "password": "wrong"}).status_code
        for _ in range(3)
    ]
    assert statuses == [401, 401, 429]
    assert int(browser.page.headers["Retry-After"]) > 0
    assert "Too many attempts." in words(browser.page)
    assert browser.post("/login", credentials(user)).status_code == 429
    assert sessions(database) == []


ELSEWHERE = [
    "//evil", "/\\evil", "\\\\evil", "///evil", "https:evil", "evil.com", "/\t/evil", " //evil",
    "javascript:alert(1)", "/a\nb", "", "http://evil/", "/\u2028evil",
]  # fmt: skip


def test_attack_93_next_is_a_path_of_this_shop_or_nothing(app, user):
    assert [local_path(wanted) for wanted in ELSEWHERE] == ["/"] * len(ELSEWHERE)
    assert local_path("/my/orders?status=paid#top") == "/my/orders?status=paid#top"
    for wanted in ELSEWHERE:
        answer = Browser(app).post("/login", credentials(user, next=wanted))
        assert (answer.status_code, answer.headers["Location"]) == (303, "/"), wanted
    answer = Browser(app).post("/login", credentials(user, next="/my/orders"))
    assert answer.headers["Location"] == "/my/orders"


def test_attack_37_a_registration_form_gives_no_role(app, database):
    new = {"username": "mgeni", "email": "mgeni@shop.example", "password": PASSWORD}
    before = database_snapshot(database)
    answer = Browser(app).post("/register", {**new, "role": "admin"})
    assert answer.status_code == 400
    assert database_snapshot(database) == before


def test_a_name_that_is_taken_is_said_at_its_field(app, database, user):
    before = database_snapshot(database)
    new = {"username": user.username, "email": "new@shop.example", "password": PASSWORD}
    answer = Browser(app).post("/register", new)
    assert answer.status_code == 409
    assert 'id="e-username"' in answer.text
    assert 'value="new@shop.example"' in answer.text
    assert database_snapshot(database) == before


def test_the_language_is_kept_and_leads_back(app):
    browser = Browser(app)
    browser.get("/login")
    answer = browser.post("/language", {"language": "sw", "next": "/login"})
    assert answer.headers["Location"] == "/login"
    page = browser.get("/login")
    assert '<html lang="sw">' in page.text
    assert "Ingia" in words(page)
    browser.post("/language", {"language": "xx", "next": "//evil"})
    assert browser.page.headers["Location"] == "/"
    assert '<html lang="sw">' in browser.get("/login").text
    english = Browser(app).get("/login")
    assert '<html lang="en">' in english.text
    asked = Browser(app, headers={"Accept-Language": "sw-KE,en;q=0.5"})
    assert '<html lang="sw">' in asked.get("/login").text
