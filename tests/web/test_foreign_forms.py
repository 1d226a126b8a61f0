"""Forms that work at a first visit, without a secret, and never for another site."""

import re

import pytest

from app.models import Basket
from app.policies import Role
from tests.core import database_snapshot, make_buyer
from tests.factories import make_product, make_user
from tests.web.browsing import Browser, signed_in, words
from tests.web.test_buying import only

OURS = {"Sec-Fetch-Site": "same-origin"}
BY_ORIGIN = {"Origin": "https://localhost"}
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", **BY_ORIGIN},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost"},
    {"Origin": "https://localhost.evil.example"},
    {"Origin": "https://localhost:8443"},
    {"Sec-Fetch-Site": "none", "Origin": "https://evil.example"},
]
SAYS_NOTHING = [{}, {"Origin": "null"}, {"Sec-Fetch-Site": "none"}]


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session, make_user(session, Role.SELLER), name="Boots", stock=9)


@pytest.fixture
def forms(boots):
    return {
        "/basket/add": {"product_id": str(boots.id), "quantity": "2"},
        "/language": {"language": "sw", "next": "/"},
    }


def cookies_of(browser: Browser) -> set[str]:
    return {cookie.key for cookie in browser.client._cookies.values()}


@pytest.mark.parametrize("path", ["/", "/search?query=boots", "/p/1", "/c/no-such", "/basket"])
def test_who_only_reads_gets_no_cookie(app, boots, path):
    browser = Browser(app)
    answer = browser.get(path)
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" in answer.vary or answer.status_code == 404
    assert browser._token == ""


@pytest.mark.parametrize("headers", [OURS, BY_ORIGIN], ids=str)
def test_a_stranger_puts_the_first_thing_into_a_basket(app, database, boots, forms, headers):
    browser = Browser(app)
    browser.get(f"/p/{boots.id}")
    for _ in range(2):
        answer = browser.client.post("/basket/add", data=forms["/basket/add"], headers=headers)
        assert answer.status_code == 303
    only(database, Basket)
    shown = words(browser.get("/basket"))
    assert "In your basket: Boots" in shown
    assert "4 in the basket" in shown


@pytest.mark.parametrize("headers", [OURS, BY_ORIGIN], ids=str)
def test_a_stranger_chooses_a_language_and_gets_one_cookie(app, forms, headers):
    browser = Browser(app)
    answer = browser.client.post("/language", data=forms["/language"], headers=headers)
    assert answer.status_code == 303
    assert cookies_of(browser) == {"sokoni_language"}
    assert '<html lang="sw">' in browser.get("/").text


def test_a_tab_that_was_opened_before_the_first_cookie_still_works(app, database, boots, forms):
    browser = Browser(app)
    browser.client.post("/language", data=forms["/language"], headers=OURS)
    browser.get("/login")
    answer = browser.client.post(
        "/basket/add", data={"csrf_token": "", **forms["/basket/add"]}, headers=OURS
    )
    assert answer.status_code == 303


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("who", ["stranger", "guest", "buyer"])
def test_what_another_site_sends_changes_nothing(app, database, boots, forms, headers, who):
    browser = Browser(app)
    if who == "buyer":
        with database.transaction() as session:
            buyer = make_buyer(session)
        browser = signed_in(app, buyer)
    if who != "stranger":
        browser.get("/")
        browser.post("/basket/add", forms["/basket/add"])
    before, held = database_snapshot(database), cookies_of(browser)
    for path, form in forms.items():
        for sent in (form, {**form, "csrf_token": ""}, {**form, "csrf_token": "made.up"}):
            answer = browser.client.post(path, data=sent, headers=headers)
            assert answer.status_code == 403
            assert "Set-Cookie" not in answer.headers
            assert "This form is too old, or another page sent it." in answer.text
    assert (database_snapshot(database), cookies_of(browser)) == (before, held)


@pytest.mark.parametrize("headers", SAYS_NOTHING, ids=str)
@pytest.mark.parametrize("path", ["/basket/add", "/language"])
def test_where_a_browser_says_nothing_the_form_is_shown_again_and_then_works(
    app, database, forms, headers, path
):
    browser = Browser(app)
    before = database_snapshot(database)
    again = browser._shown(
        browser.client.post(path, data={"csrf_token": "", **forms[path]}, headers=headers)
    )
    assert again.status_code == 403
    assert "Your browser does not tell us which page this comes from." in words(again)
    assert (database_snapshot(database), cookies_of(browser)) == (before, {"__Host-sokoni_forms"})
    form = again.text.partition(f'<form method="post" action="{path}">')[2].partition("</form>")[0]
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form))
    assert {name: fields[name] for name in forms[path]} == forms[path]
    answer = browser.client.post(path, data=fields, headers=headers)
    assert answer.status_code == 303
    assert cookies_of(browser) > {"__Host-sokoni_forms"}


def test_what_is_shown_again_is_text(app):
    odd = '"><script>alert(1)</script>'
    answer = app.test_client().post("/language", data={odd: odd})
    assert answer.status_code == 403
    assert odd not in answer.text
    assert "&lt;script&gt;" in answer.text


def test_a_wrong_token_is_refused_whatever_the_browser_says(app, database, forms):
    browser = Browser(app)
    before = database_snapshot(database)
    for path, form in forms.items():
        sent = {**form, "csrf_token": "made.up"}
        assert browser.client.post(path, data=sent, headers=OURS).status_code == 403
    assert database_snapshot(database) == before


def test_who_is_signed_in_needs_a_token(app, database, boots, forms):
    with database.transaction() as session:
        buyer = make_buyer(session)
    browser = signed_in(app, buyer)
    assert browser.get(f"/p/{boots.id}").text.count(browser._token) > 1
    before = database_snapshot(database)
    for path, form in forms.items():
        answer = browser.client.post(path, data=form, headers=OURS)
        assert answer.status_code == 403
    assert database_snapshot(database) == before
    assert browser.post("/basket/add", forms["/basket/add"]).status_code == 303


def test_signing_in_needs_a_token_at_a_first_visit(app, database):
    before = database_snapshot(database)
    for path in ("/login", "/register"):
        for headers in (OURS, BY_ORIGIN):
            sent = {"login": "amina", "password": "a-long-password"}
            answer = app.test_client().post(path, data=sent, headers=headers)
            assert answer.status_code == 403
    assert database_snapshot(database) == before


def test_the_cookie_of_forms_outlives_the_window(app):
    cookie = app.test_client()
    cookie.get("/login")
    held = cookie.get_cookie("__Host-sokoni_forms")
    assert held.max_age or held.expires
