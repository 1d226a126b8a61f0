"""What a hostile browser sends to pages, and what their answers may not tell.

The tables are of addresses that the app itself names, so that a new page is under them at once.
"""

import io
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from sqlalchemy import select
from werkzeug.datastructures import MultiDict

from app import create_app
from app.db import EXTENSION, Database
from app.models import LoginSession, Product, Task
from app.policies import Role
from app.utils.http import PAGE_POLICY
from app.utils.logs import configure_logging
from app.utils.token import make_tokens, new_opaque_id, page_cookie_name
from app.web.formats import fingerprint
from tests.controllers.callers import is_refused
from tests.core import ask_to_pay, buy, database_snapshot, pay
from tests.factories import (
    make_category,
    make_comment,
    make_notification,
    make_product,
    make_task,
    make_user,
)
from tests.pictures import picture
from tests.web.browsing import Browser, signed_in, words
from tests.web.test_page_matrix import path_of, rules_of

TEMPLATE = "{{ 7 * 7 }}${7*7}{% if 1 %}"
PRIVATE = {"phone_number": "254711222333", "email": "canary@private.example"}
SECRETS = {
    "254711222333", "0711222333", "0711 222 333", "canary@private.example", "Canary Lane 7",
    "canary note", "canary task", "canary news"
}  # fmt: skip
"""What is for the owner, their seller, or an admin, and for nobody else."""

QUERIES = (
    "cursor", "query", "category", "min_price", "sort", "in_stock", "seen", "next", "status",
    "unread", "kind", "assignee", "words", "stock", "seller", "search", "role", "suspended",
    "number", "buyer", "first_day", "last_day", "receipt", "phone", "excel",
)  # fmt: skip
ODD = ("%00", "%ED%A0%80", "%0D%0ASet-Cookie:%20a=b", "%D9%A5", "9" * 40, "%22%3E%3Cscript%3E")


@pytest.fixture
def shop(database):
    """One of each thing, with the id 1: the owner's, and what the seller sold to them."""
    with database.transaction() as session:
        owner = make_user(session, Role.CUSTOMER, username="owner", **PRIVATE)
        seller = make_user(session, Role.SELLER)
        category = make_category(session)
        category.slug = "shoes"
        product = make_product(session, seller, category=category, name=f"Boots {TEMPLATE}")
        order = buy(
            session, owner, (product, 1), delivery_address="Canary Lane 7", note="canary note"
        )
        pay(session, ask_to_pay(session, order))
        make_comment(session, owner, product, body=f"Good {TEMPLATE}")
        make_task(session, owner, title="canary task")
        make_notification(session, owner, title="canary news")
        people = {
            "owner": owner,
            "seller": seller,
            "stranger": make_user(session, Role.CUSTOMER),
            "other_seller": make_user(session, Role.SELLER),
            "admin": make_user(session, Role.ADMIN),
        }
    return {**people, "product": product, "order": order}


@contextmanager
def without_database(app, tmp_path):
    app.extensions[EXTENSION] = Database(f"sqlite:///{tmp_path}/nowhere/shop.db")
    try:
        yield
    finally:
        app.extensions[EXTENSION].dispose()


def test_attack_36_41_no_page_tells_strangers_what_is_private(app, database, shop):
    private = {*SECRETS, shop["order"].number}
    for person in (None, "stranger", "other_seller"):
        browser = signed_in(app, shop[person]) if person else Browser(app)
        for rule, _ in rules_of(app, "GET"):
            for query in ("", "?seller=2&assignee=1&user_id=1&seller_id=2&fields=password_hash"):
                answer = browser.get(path_of(rule.rule) + query)
                told = {secret for secret in private if secret in answer.text}
                assert (told, "scrypt" in answer.text) == (set(), False), (person, rule.rule)
    seen = signed_in(app, shop["owner"]).get("/account").text
    assert PRIVATE["email"] in seen  # or the table above would look for what is never shown


def test_attack_63_64_what_people_write_is_no_template(app, shop):
    for path in ("/", "/p/1", "/search?query=boots"):
        assert f"Boots {TEMPLATE}" in words(Browser(app).get(path)), path
    assert f"Good {TEMPLATE}" in words(Browser(app).get("/p/1"))


def test_attack_50_58_no_odd_parameter_breaks_a_page(app, database, shop):
    """Nor does one reach a header of the answer, or its markup."""
    admin = signed_in(app, shop["admin"])
    addresses = [path_of(rule.rule) for rule, _ in rules_of(app, "GET")]
    asked = [
        f"{address}?{'&'.join(f'{name}={odd}' for name in (*QUERIES, 'a[]', 'a%5B%5D'))}"
        for address in addresses
        for odd in ODD
    ]
    asked += [f"{address}?query={'x' * 10_000}&cursor={'e' * 9_000}" for address in addresses]
    before = database_snapshot(database)
    for address in asked:
        answer = admin.get(address)
        assert answer.status_code < 500, address
        assert "<script>" not in answer.text, address
        assert not any("a=b" in cookie for cookie in answer.headers.getlist("Set-Cookie")), address
    assert database_snapshot(database) == before


@pytest.mark.parametrize("path", ["/", "/login", "/account", "/search/suggest", "/api/products"])
def test_attack_52_an_address_of_other_bytes_is_a_400(app, path):
    for query in ("x=\xff", "next=/\xed\xa0\x80", "a=b\r\nX: y", "a=\0"):
        answer = app.test_client().get(path, environ_overrides={"QUERY_STRING": query})
        assert answer.status_code == 400
        assert "The address holds bytes that are no text." in answer.text


def test_attack_93_no_redirect_leads_out_or_carries_a_line_break(app):
    stranger = app.test_client()
    for query in ("next=//evil", "a=%0d%0aX:y", "next=/\\evil"):
        for path in ("/account", "/my/orders", "/office", "/search/suggest", "/checkout"):
            answer = stranger.get(path, environ_overrides={"QUERY_STRING": query})
            target = answer.headers["Location"]
            assert answer.status_code == 303
            assert target.startswith(("/login?next=/", "/search?")), target
            assert not {"\r", "\n"} & set(target), target
            assert "X" not in answer.headers


def test_attack_15_a_cookie_that_is_not_ours_is_nobodys(app, database, shop, clock):
    owner = signed_in(app, shop["owner"])
    with app.app_context(), database.reading() as session:
        cookie = page_cookie_name()
        tokens = make_tokens(
            shop["owner"].id, session.scalars(select(LoginSession.id)).one(), new_opaque_id()
        )
    good = owner.client.get_cookie(cookie).value
    spoiled = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    none = "eyJhbGciOiJub25lIn0." + good.split(".")[1] + "."
    bad = (spoiled, none, good + good, "x" * 9_000, "a.b.c", '"\\000"', "\u00e9", "", "..",
           tokens.access_token, tokens.refresh_token)  # fmt: skip
    before = database_snapshot(database)
    for value in bad:
        for name in ("sokoni", "sokoni_forms", "sokoni_basket", "sokoni_language"):
            sent = f"{cookie if name == 'sokoni' else name}={value}"
            stranger = app.test_client(use_cookies=False)
            answers = [
                stranger.get(path, headers={"Cookie": sent}).status_code
                for path in ("/account", "/", "/basket")
            ]
            assert answers == [303, 200, 200], (name, value[:20])
    assert database_snapshot(database) == before


def test_attack_47_55_a_field_that_is_sent_twice_is_refused(app, database, shop):
    owner, seller = signed_in(app, shop["owner"]), signed_in(app, shop["seller"])
    before = database_snapshot(database)
    for browser, path, name, fields in (
        (owner, "/account/profile", "email", ["a@shop.example", "b@shop.example"]),
        (owner, "/p/1/comments", "body", ["one", "two"]),
        (seller, "/office/orders/1/fulfil", "status", ["shipped", "delivered"]),
        (Browser(app), "/basket/add", "product_id", ["1", "1"]),
        (Browser(app), "/login", "name", ["owner", "admin"]),
    ):
        browser.get("/login", follow_redirects=True)
        form = MultiDict([("csrf_token", browser._token), *[(name, value) for value in fields]])
        answer = browser.client.post(path, data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 400, path
    assert database_snapshot(database) == before


def test_attack_73_crooked_forms_with_files_change_nothing(app, database, shop):
    browser = signed_in(app, shop["owner"])
    browser.get("/account")
    png = picture()
    crooked = (
        (413, {f"part{n}": "x" for n in range(1001)}),
        (413, {"picture": (io.BytesIO(b"x" * 7_000_000), "x.png")}),
        (413, {"text": "x" * 600_000, "file": (io.BytesIO(b"x"), "x")}),
        (400, {"picture": [(io.BytesIO(png), "x.png"), (io.BytesIO(png), "y.png")]}),
        (400, {"picture": (io.BytesIO(b""), "x.png")}),
        (400, {"picture": "text"}),
        (415, {"picture": (io.BytesIO(b"<svg onload='alert(1)'/>"), "x.png")}),
    )
    before = database_snapshot(database)
    for status, form in crooked:
        answer = browser.post("/account/picture", form, content_type="multipart/form-data")
        assert (answer.status_code, answer.mimetype) == (status, "text/html"), list(form)[:1]
    assert database_snapshot(database) == before


def test_attack_98_no_shared_cache_keeps_a_page(app, shop):
    """Each page says by what it differs; what is one's own is not even kept by the browser."""
    browser = signed_in(app, shop["admin"])
    for rule, guard in rules_of(app, "GET"):
        for viewer in (browser, Browser(app)):
            answer = viewer.get(path_of(rule.rule))
            kept = answer.headers["Cache-Control"]
            own = guard.signed_in or answer.status_code >= 400
            assert kept in ({"no-store"} if own else {"no-store", "private, no-cache"}), rule.rule
            assert answer.status_code >= 400 or "Cookie" in answer.vary, rule.rule
            if answer.mimetype == "text/html" and answer.data:
                assert answer.headers["Content-Security-Policy"] == PAGE_POLICY, rule.rule
                assert " style=" not in answer.text, rule.rule


def test_a_static_file_is_kept_for_good_under_its_own_version_alone(app):
    """While two versions run, a page of one may be answered with the file of the other."""
    client = app.test_client()
    forever = "public, max-age=31536000, immutable"
    for query, kept in (
        (f"?v={fingerprint('shop.css')}", forever),
        ("?v=0123456789ab", "no-cache"),
        ("", "no-cache"),
    ):
        with client.get(f"/static/shop.css{query}") as answer:
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, kept)
            assert "Set-Cookie" not in answer.headers
            assert "Cookie" not in answer.vary


def test_attack_17_every_cookie_is_for_tls_alone_where_there_is_tls(app, config, ports, shop):
    secure = create_app(replace(config, public_url="https://duka.example"), ports)
    base = {"base_url": "https://duka.example"}
    client = secure.test_client()
    page = client.get("/login", **base)
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    headers = {"Referer": "https://duka.example/", "Sec-Fetch-Site": "same-origin"}
    lines = page.headers.getlist("Set-Cookie")
    for path, form in (
        ("/language", {"language": "sw", "next": "/"}),
        ("/basket/add", {"product_id": "1"}),
    ):
        answer = client.post(path, data={"csrf_token": token, **form}, headers=headers, **base)
        assert answer.status_code == 303
        lines += answer.headers.getlist("Set-Cookie")
    assert {line.partition("=")[0] for line in lines} == {
        "__Host-sokoni_forms", "sokoni_language", "__Host-sokoni_basket",
    }  # fmt: skip
    for line in lines:
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(line.split("; ")), line


def test_visitors_behind_one_address_do_not_use_up_each_others_limit(make_app, database, shop):
    limited = make_app(rate_limits_enabled=True, write_limit="2 per minute")
    first, second = (signed_in(limited, shop[name]) for name in ("owner", "stranger"))
    changes = [("/account/notifications/read-all", 303)] * 2
    for browser in (first, second):
        browser.get("/account")
        assert [(path, browser.post(path).status_code) for path, _ in changes] == changes
    before = database_snapshot(database)
    answer = first.post("/account/tasks", {"title": "one too many"})
    assert (answer.status_code, answer.mimetype) == (429, "text/html")
    assert int(answer.headers["Retry-After"]) > 0
    after = database_snapshot(database)
    assert after[Task.__tablename__] == before[Task.__tablename__]


def test_attack_19_without_its_database_a_page_says_so_in_either_language(app, shop, tmp_path):
    owner = signed_in(app, shop["owner"])
    with without_database(app, tmp_path):
        for path in ("/", "/p/1", "/account", "/my/orders/1", "/office"):
            for browser in (owner, Browser(app)):
                answer = browser.get(path)
                closed = 503 if browser is owner or path in {"/", "/p/1"} else 303
                assert answer.status_code == closed, path
                if closed == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert "sqlite" not in answer.text.lower()
        swahili = Browser(app, headers={"Accept-Language": "sw"}).get("/")
        assert '<html lang="sw">' in swahili.text
        assert Browser(app).get("/login").status_code == 200


def test_attack_101_a_wrong_method_on_a_page_is_a_page(app, database, shop):
    browser = signed_in(app, shop["admin"])
    before = database_snapshot(database)
    for method, path, allowed in (
        ("DELETE", "/p/1", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/basket/add", {"OPTIONS", "POST"}),
        ("GET", "/logout", {"OPTIONS", "POST"}),
        ("HEAD", "/basket/change", {"OPTIONS", "POST"}),
    ):
        answer = browser.client.open(path, method=method)
        assert (answer.status_code, answer.mimetype) == (405, "text/html"), path
        assert set(answer.headers["Allow"].split(", ")) == allowed
        assert answer.headers["Cache-Control"] == "no-store"
    options = browser.client.options("/account/tasks")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert database_snapshot(database) == before
    assert is_refused(app.test_client().delete("/api/login"), 405, "method_not_allowed")


def test_attack_100_what_is_typed_into_pages_is_not_logged(app, shop, capsys):
    configure_logging(level="INFO", as_json=True)
    password, phone = "canary password 1", "0711999888"
    Browser(app).post("/login", {"name": phone, "password": password})
    new = {"username": "mgeni", "email": "canary@shop.example", "phone_number": phone}
    Browser(app).post("/register", {**new, "password": password})
    signed_in(app, shop["admin"]).get(f"/office/payments?phone={phone}&token=canary")
    Browser(app).get(f"/account?phone={quote(phone)}&token=canary")
    owner = signed_in(app, shop["owner"])
    owner.post("/my/orders/1/pay", {"phone_number": phone})
    owner.post("/account/password", {"current_password": password, "password": password})
    log = capsys.readouterr().err
    assert log.count('"path":"/login"') >= 1
    assert not any(secret in log for secret in ("canary", phone, "254711999888", "eyJ"))


def test_what_a_caller_sends_steers_no_terminal(app, capsys):
    configure_logging(level="INFO", as_json=False)
    try:
        Browser(app).get("/c/%1B%5B2J%00%E2%80%AEx")
        line = capsys.readouterr().err
    finally:
        configure_logging(level="INFO", as_json=True)
    assert line.count("\n") == 1
    assert line.rstrip("\n").isprintable()
    assert r"\x1b[2J" in line


def test_a_form_sent_twice_at_the_shelf_counts_once(app, database, shop):
    """The second click, or a second tab, names a change that is no longer the last."""
    seller = signed_in(app, shop["seller"])
    page = seller.get("/office/products/1/stock")
    seen = page.text.partition('name="seen_change_id" value="')[2].partition('"')[0]
    form = {"reason": "received", "quantity": "5", "seen_change_id": seen}
    with database.reading() as session:
        before = session.get_one(Product, 1).on_hand
    statuses = [seller.post("/office/products/1/stock", form).status_code for _ in range(2)]
    with database.reading() as session:
        assert (statuses, session.get_one(Product, 1).on_hand) == ([303, 409], before + 5)


def test_no_moment_that_somebody_may_write_breaks_a_page(app, database, shop):
    """A customer's task stands in an admin's list too."""
    ends = [datetime.max.replace(microsecond=0, tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
    with database.transaction() as session:
        tasks = [make_task(session, shop["owner"], due_at=end).id for end in ends]
    for person, root in (("owner", "/account"), ("admin", "/office")):
        browser = signed_in(app, shop[person])
        for path in (f"{root}/tasks", *[f"{root}/tasks/{task}" for task in tasks]):
            assert browser.get(path).status_code == 200, path
    assert "31 Dec 9999" in words(signed_in(app, shop["owner"]).get("/account/tasks"))


def test_attack_35_a_seller_is_told_nothing_of_anothers_shelf(app, database, shop):
    """What runs low is its seller's matter, and which admin counted it is nobody's."""
    with database.transaction() as session:
        session.get_one(Product, 1).low_stock_threshold = 1000
        make_product(session, shop["other_seller"], name="Drums", stock=0)
        second = make_user(session, Role.ADMIN)
    admin, seller = signed_in(app, shop["admin"]), signed_in(app, shop["seller"])
    seen = admin.get("/office/products/1/stock").text
    form = {
        "reason": "lost",
        "quantity": "1",
        "seen_change_id": seen.partition('name="seen_change_id" value="')[2].partition('"')[0],
    }
    assert admin.post("/office/products/1/stock", form).status_code == 303
    for browser, told in (
        (seller, (True, False)),
        (signed_in(app, shop["other_seller"]), (False, True)),
        (admin, (True, True)),
    ):
        page = browser.get("/office").text
        assert ("Boots" in page, "Drums" in page) == told
    name = shop["admin"].username
    assert name in signed_in(app, second).get("/office/products/1/stock").text
    assert name not in seller.get("/office/products/1/stock").text
