"""What is answered before Flask is entered is what Flask answers, to the last header and log line.

Each question is asked of the whole app until the answer is ready, and then of Flask itself.
"""

import gzip
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask, Response
from sqlalchemy import text
from werkzeug.datastructures import EnvironHeaders
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder

from app import create_app
from app.context import CATALOGUE, TRACING
from app.db import EXTENSION, Database
from app.policies import Role
from app.ready_answers import NOT_UNDERSTOOD, UNDERSTOOD, kept_answer
from app.services.kept_catalogue import Kept, KeptCatalogue
from app.utils.draining import begin_draining, end_draining
from app.utils.http import HSTS
from app.utils.logs import configure_logging
from tests.collector import open_collector
from tests.factories import make_category, make_product, make_user
from tests.web.browsing import Browser

PAGES = ("/", "/c/shoes", "/c/shoes?sort=price", "/?cursor=")
ANSWERS = (
    "/api/items",
    "/api/items/1",
    "/products?limit=1",
    "/products/1",
    "/api/items?in_stock=true&include_total=true",
    "/api/categories",
    "/api/items?nonsense=0712345678",
)
ASKS_AS_A_BROWSER = {
    "User-Agent": "Mozilla/5.0",
    "Accept": "text/html,*/*;q=0.8",
    "Accept-Language": "sw-KE,sw;q=0.9,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Site": "none",
    "Connection": "keep-alive",
}
ID = "X-Request-Id"
CHANGES_EACH_TIME = ("request_id", "duration_ms", "timestamp")
ORDINARY = {"Host": "shop.example"}


@pytest.fixture
def shop(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        shoes = make_category(session, "Shoes")
        shoes.slug = "shoes"
        for name in ("Boots", "Hat"):
            make_product(session, seller, name=name, stock=9, price_cents=100_00, category=shoes)


@pytest.fixture
def lines(capsys) -> Iterator:
    """What is logged, by our handler alone: pytest listens as well, which is not the short way."""
    root = logging.getLogger()
    others = root.handlers

    def begin(*, as_json: bool = True, level: str = "INFO", secrets: tuple[str, ...] = ()):
        configure_logging(level=level, as_json=as_json, secrets=secrets)
        root.handlers = [one for one in root.handlers if one.get_name() == "sokoni_handler"]
        capsys.readouterr()
        return lambda: capsys.readouterr().err.splitlines()  # noqa: PLW0108 - what is read when it is called

    yield begin
    root.handlers = others
    configure_logging(level="INFO", as_json=True)


def send(wsgi, environ, told: list) -> bytes:
    """As a server does: here the environ stays in our hands."""
    pieces = wsgi(environ, lambda status, headers, *_error: told.extend([status, headers]))
    try:
        return b"".join(pieces)
    finally:
        getattr(pieces, "close", bool)()


class Answer:
    """Of one who asked, and whether Flask was entered for it."""

    def __init__(self, wsgi, path: str, method="GET", headers=None, environ=None) -> None:
        asked = EnvironBuilder(path, method=method, headers=ORDINARY).get_environ()
        asked |= {"REMOTE_ADDR": "197.232.1.2", **(environ or {})}
        for name, value in (headers or {}).items():
            word = name.upper().replace("-", "_")
            asked[word if word == "CONTENT_LENGTH" else f"HTTP_{word}"] = value
        told = []
        self.body = send(wsgi, asked, told)
        self.status, found = told
        self.by_flask = "werkzeug.request" in asked
        self.headers = dict(found)
        assert len(self.headers) == len(found)  # none twice
        self.id = self.headers.pop(ID)
        self.date = self.headers.pop("Date", "")

    @property
    def all(self):
        """Gzip writes down when it was made; the rest has to be the same to the letter."""
        is_gzip = self.headers.get("Content-Encoding") == "gzip"
        body = gzip.decompress(self.body) if is_gzip and self.body else self.body
        return self.status, self.headers, body, bool(self.date)


def flask_of(app: Flask):
    """The app without what stands around Flask."""
    return lambda environ, start: Flask.wsgi_app(app, environ, start)


def both(app: Flask, path: str, *args, times: int = 4, **options) -> tuple[Answer, Answer]:
    """The answer when it is ready, and Flask's."""
    for _ in range(times):
        ready = Answer(app.wsgi_app, path, *args, **options)
    return ready, Answer(flask_of(app), path, *args, **options)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [{}, ASKS_AS_A_BROWSER], ids=["plain", "browser"])
def test_a_ready_answer_is_the_one_that_flask_gives(app, shop, method, headers):
    for path in (*PAGES, *ANSWERS):
        ready, other = both(app, path, method, headers)
        assert (ready.by_flask, other.by_flask) == (False, True), path
        assert ready.all == other.all, path
        assert ready.status == "200 OK"
        assert "Set-Cookie" not in ready.headers
        assert (ready.body == b"") == (method == "HEAD")


def test_an_answer_is_ready_for_the_third_who_asks(app, shop):
    for path in ("/", "/api/items"):
        assert [Answer(app.wsgi_app, path).by_flask for _ in range(4)] == [True, True, False, False]


@pytest.mark.parametrize("path", ["/api/items", "/api/items/1"])
def test_who_has_the_answer_already_is_told_so(app, shop, path):
    tag = Answer(app.wsgi_app, path).headers["ETag"]
    ready, other = both(app, path, headers={"If-None-Match": tag})
    assert (ready.by_flask, ready.status, ready.body) == (False, "304 NOT MODIFIED", b"")
    assert ready.all == other.all
    for odd in ('"another"', f'"another", {tag}', f"W/{tag}", "*", '"' + "x" * 200 + '"'):
        asked, other = both(app, path, headers={"If-None-Match": odd})
        assert asked.by_flask, odd
        assert asked.all == other.all, odd


ASKED_OTHERWISE = [
    {"Authorization": "Bearer nonsense"},
    {"Authorization": ""},
    {"Cookie": "sokoni_language=sw"},
    {"Cookie": ""},
    {"HX-Request": "true"},
    {"If-Match": '"1-9"'},
    {"If-Modified-Since": "Sat, 01 Jan 2022 00:00:00 GMT"},
    {"Range": "bytes=0-9"},
    {"Transfer-Encoding": "chunked", "Content-Length": "3"},
    {"Transfer-Encoding": "gzip"},
    {"Content-Length": "3"},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"Host": "evil.example"},
    {"Host": "shop.example/x"},
    {"Accept-Encoding": "gzip," * 40},
    {"Accept-Language": "en," * 200},
]


@pytest.mark.parametrize("headers", ASKED_OTHERWISE, ids=str)
def test_who_asks_otherwise_is_answered_by_flask(app, shop, headers):
    for path in ("/", "/api/items", "/api/items/1"):
        both(app, path)  # so that one is ready
        asked, other = both(app, path, headers=headers)
        assert asked.by_flask
        problem = json.loads(asked.body) if "problem" in asked.headers["Content-Type"] else None
        if problem is None and asked.status.startswith("200"):
            assert asked.all == other.all
        assert (asked.status, set(asked.headers)) == (other.status, set(other.headers))


@pytest.mark.parametrize(
    ("path", "query"),
    [("/api/items", "a=\0"), ("/", "a=\xff"), ("/no/such", ""), ("/api/items/77", "")],
)
def test_what_is_refused_is_never_ready(app, shop, path, query):
    for _ in range(4):
        asked = Answer(app.wsgi_app, path, environ={"QUERY_STRING": query})
        assert asked.by_flask
        assert asked.status[0] == "4"


def test_a_request_that_only_differs_in_what_is_read_elsewhere_is_not_given_another_answer(
    app, shop
):
    for path in ("/", "/c/shoes"):
        for language in ("en", "sw", "fr, sw", "", "xx"):
            for coding in ("", "gzip", "br", "br;q=0, gzip", "identity", "*", "gzip;q=0"):
                headers = {"Accept-Language": language, "Accept-Encoding": coding}
                ready, other = both(app, path, headers=headers)
                assert not ready.by_flask
                assert ready.all == other.all, headers


class Watched(dict):
    """An environ that remembers which of a caller's headers were looked for."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.read.add(name)
        return super().get(name, default)

    def __contains__(self, name):
        self.read.add(name)
        return super().__contains__(name)

    def __iter__(self):
        raise AssertionError("All headers are read.")

    items = keys = values = copy = __iter__


@pytest.mark.parametrize("path", [*PAGES, *ANSWERS])
@pytest.mark.parametrize("metrics", [False, True])
def test_flask_reads_no_header_that_the_layer_does_not_know(
    make_app, shop, path, metrics, monkeypatch
):
    def getlist(headers: EnvironHeaders, key: str) -> list[str]:
        """Werkzeug's own looks through all headers for one."""
        found = headers.environ.get(f"HTTP_{key.upper().replace('-', '_')}")
        return [] if found is None else [found]

    monkeypatch.setattr(EnvironHeaders, "getlist", getlist)
    app = make_app(metrics_token="t" * 40 if metrics else None)
    one_each = [{name: "x"} for name in (*NOT_UNDERSTOOD, *UNDERSTOOD)]
    for given in ({}, {"HTTP_IF_NONE_MATCH": '"x"'}, *one_each):
        asked = EnvironBuilder(path, headers=ORDINARY).get_environ()
        environ = Watched({**asked, **given, "HTTP_HOST": "shop.example"})
        send(flask_of(app), environ, [])
        headers = {name for name in environ.read if name.startswith("HTTP_")}
        assert headers <= NOT_UNDERSTOOD | UNDERSTOOD
        assert given or ("HTTP_ACCEPT_LANGUAGE" in headers) == (path in PAGES)


def _add_odd_views(app) -> None:
    @app.get("/api/odd/<how>")
    def odd(how: str) -> Response:
        kept_answer(("odd", how), lambda: Kept(how, 1))
        response = Response("odd", 404 if how == "missing" else 200)
        if how == "cookie":
            response.set_cookie("whose", "mine")
        response.vary.add("Origin" if how == "origin" else "Cookie")
        return response


@pytest.mark.parametrize(
    ("how", "is_ready"), [("even", True), ("cookie", False), ("origin", False), ("missing", False)]
)
def test_an_answer_that_may_not_be_for_everybody_is_never_ready(make_app, how, is_ready):
    ready, other = both(make_app(_add_odd_views), f"/api/odd/{how}")
    assert ready.by_flask is not is_ready
    assert ready.all == other.all


def test_a_change_shows_in_every_process_on_the_next_request(make_app, database, shop):
    apps = [make_app(), make_app()]
    for app in apps:
        for path in ("/", "/api/items", "/api/items/1"):
            assert not both(app, path)[0].by_flask
    with database.transaction() as session:
        session.execute(text("UPDATE products SET price_cents = 77700 WHERE id = 1"))
    for app in apps:
        for path, price in (("/", b"777"), ("/api/items", b":777"), ("/api/items/1", b":777")):
            told = Answer(app.wsgi_app, path)
            assert told.by_flask
            assert price in told.body
            assert not both(app, path)[0].by_flask
            assert price in Answer(app.wsgi_app, path).body


def test_a_sale_makes_only_what_shows_it_anew(app, database, shop):
    for path in ("/api/items/1", "/api/items/2", "/api/items"):
        both(app, path)
    with database.transaction() as session:
        session.execute(text("UPDATE products SET reserved = 4 WHERE id = 1"))
    assert not Answer(app.wsgi_app, "/api/items/2").by_flask
    assert Answer(app.wsgi_app, "/api/items").by_flask
    assert b'"stock":5' in Answer(app.wsgi_app, "/api/items/1").body.replace(b" ", b"")


def test_a_database_that_does_not_answer_is_told_as_before(app, database, shop, tmp_path):
    app.extensions[CATALOGUE] = KeptCatalogue(lambda: app.extensions[EXTENSION], 1_000_000)
    for path in ("/", "/api/items"):
        assert not both(app, path)[0].by_flask
    app.extensions[EXTENSION] = Database(f"sqlite:///{tmp_path}/nowhere/shop.db")
    for path in ("/", "/api/items"):
        asked, other = both(app, path, times=1)
        assert asked.by_flask
        assert (asked.status, asked.headers) == (other.status, other.headers)
        assert asked.status == "503 SERVICE UNAVAILABLE"
        assert asked.headers["Retry-After"] == "2"
    app.extensions[EXTENSION].dispose()
    app.extensions[EXTENSION] = database
    assert not both(app, "/")[0].by_flask


def test_ids_are_the_callers_if_they_are_sane(app, shop):
    both(app, "/api/items")
    for given, is_taken in (
        ("abcdefgh-1", True),
        ("0712345678", True),
        ("a b", False),
        ("", False),
    ):
        asked = Answer(app.wsgi_app, "/api/items", headers={ID: given})
        assert not asked.by_flask
        assert (asked.id == given) is is_taken
        assert is_taken or len(asked.id) == 32
    assert len({Answer(app.wsgi_app, "/api/items").id for _ in range(5)}) == 5


@pytest.mark.parametrize("url", ["https://shop.example", "http://shop.example"])
def test_tls_is_asked_for_where_the_shop_has_it(make_app, shop, url):
    ready, other = both(make_app(public_url=url), "/")
    assert not ready.by_flask
    assert ready.all == other.all
    assert ready.headers.get("Strict-Transport-Security") == (HSTS if url[4] == "s" else None)


def test_a_process_that_ends_keeps_no_connection_open_and_remembers_none_of_it(app, shop):
    begin_draining()
    try:
        ready, other = both(app, "/api/items")
        assert not ready.by_flask
        assert ready.all == other.all
        assert ready.headers["Connection"] == "close"
    finally:
        end_draining()
    assert "Connection" not in Answer(app.wsgi_app, "/api/items").headers


@contextmanager
def asked_both_ways(app, read, *args, **options):
    """The lines of a ready answer and of Flask's."""
    both(app, *args, **options)
    read()
    ready, other = both(app, *args, times=1, **options)
    assert (ready.by_flask, other.by_flask) == (False, True)
    yield read()


LOGGED = [
    ("/api/items", "GET", {}),
    ("/", "HEAD", {}),
    ("/c/shoes", "GET", {ID: "0712345678"}),
    ("/c/shoes", "GET", {ID: "a-secret-of-ours-0123456789"}),
]


@pytest.mark.parametrize(("path", "method", "headers"), LOGGED)
def test_the_log_says_the_same(app, shop, lines, path, method, headers):
    read = lines(secrets=("a-secret-of-ours-0123456789",))
    with asked_both_ways(app, read, path, method, headers) as written:
        ready, other = (json.loads(line) for line in written)
    assert list(ready) == list(other)
    if ID in headers:
        assert ready["request_id"] == other["request_id"] != headers[ID]
    for name in CHANGES_EACH_TIME:
        ready.pop(name), other.pop(name)
    assert ready == other
    assert (ready["path"], ready["method"], ready["remote_addr"]) == (path, method, "197.232.1.2")


def test_a_path_in_the_log_is_scrubbed_and_shown_as_flask_has_it(app, database, shop, lines):
    with database.transaction() as session:
        for slug in ("0712345678", "kofia-ñ"):
            make_category(session, slug).slug = slug
    read = lines()
    for path, shown in (("/c/0712345678", "/c/2547****678"), ("/c/kofia-%C3%B1", "/c/kofia-ñ")):
        with asked_both_ways(app, read, path) as written:
            assert [json.loads(line)["path"] for line in written] == [shown, shown]


def test_the_log_for_people_says_the_same(app, shop, lines):
    read = lines(as_json=False)
    with asked_both_ways(app, read, "/api/items", headers={ID: "the-same-id"}) as written:
        ready, other = written
    assert ready[30:].partition("duration")[0] == other[30:].partition("duration")[0]
    assert "request_id=the-same-id" in ready


def test_who_does_not_want_to_hear_of_requests_does_not(app, shop, lines):
    with asked_both_ways(app, lines(level="WARNING"), "/api/items") as written:
        assert written == []


def test_who_else_listens_to_the_log_hears_of_ready_answers(app, shop, caplog):
    both(app, "/api/items")
    caplog.clear()
    assert not Answer(app.wsgi_app, "/api/items").by_flask
    (record,) = caplog.records
    assert record.msg["path"] == "/api/items"
    assert record.name == "sokoni.access"


def figures(app) -> dict[str, float]:
    told = Answer(app.wsgi_app, "/metrics", headers={"Authorization": "Bearer " + "t" * 40})
    lines = [line for line in told.body.decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_them_by_the_same_names(make_app, shop):
    app = make_app(metrics_token="t" * 40)
    before = figures(app)
    for path in ("/c/shoes", "/api/items/1"):
        both(app, path)
    tag = Answer(app.wsgi_app, "/api/items/1").headers["ETag"]
    both(app, "/api/items/1", headers={"If-None-Match": tag}, times=3)
    now = figures(app)
    risen = {name: now[name] - before.get(name, 0) for name in now if "bucket" not in name}
    for label, count in (
        ('method="GET",route="/c/<slug>",status="2xx"', 5),
        ('method="GET",route="/api/items/<id:item_id>",status="2xx"', 6),
        ('method="GET",route="/api/items/<id:item_id>",status="3xx"', 4),
    ):
        assert risen[f"sokoni_http_request_seconds_count{{{label}}}"] == count, label
    counts = app.extensions[CATALOGUE].counts
    assert (counts.hits, counts.misses) == (13, 2)
    assert risen['sokoni_catalogue_looks_total{outcome="hit"}'] == 13
    assert risen['sokoni_catalogue_looks_total{outcome="miss"}'] == 2
    assert now["sokoni_catalogue_entries"] == counts.entries == 5
    assert now["sokoni_catalogue_bytes"] == counts.kept_bytes
    assert now["sokoni_http_in_flight"] == 0


def test_behind_a_proxy_the_log_names_the_caller(make_app, shop, lines):
    app = make_app(trusted_proxy_count=1)
    read = lines()
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    both(app, "/api/items", headers=headers)
    read()
    assert not Answer(app.wsgi_app, "/api/items", headers=headers).by_flask
    Answer(ProxyFix(flask_of(app), x_for=1, x_proto=1, x_host=0), "/api/items", headers=headers)
    assert [json.loads(line)["remote_addr"] for line in read()] == ["203.0.113.9"] * 2


def test_where_requests_are_traced_flask_answers_all_of_them(
    config, ports, database, shop, monkeypatch
):
    with open_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        app = create_app(replace(config, otel_exporter_otlp_endpoint=collector.url), ports)
        try:
            assert all(Answer(app.wsgi_app, "/api/items").by_flask for _ in range(4))
        finally:
            app.extensions[TRACING].stop()
            app.extensions[EXTENSION].dispose()


def test_of_what_a_signed_in_visitor_sees_nothing_becomes_ready(app, shop):
    browser = Browser(app)
    browser.get("/login")
    for _ in range(4):
        assert browser._token in browser.get("/").text
    assert browser._token not in Answer(app.wsgi_app, "/").body.decode()


def test_made_up_addresses_push_each_other_out_and_not_the_shops_pages(make_app, shop):
    app = make_app(catalogue_cache_bytes=200_000)
    for path in ("/", "/api/items"):
        both(app, path)
    for number in range(300):
        Answer(app.wsgi_app, f"/api/items?x={number}")
        Answer(app.wsgi_app, f"/c/shoes?min_price={number}")
    counts = app.extensions[CATALOGUE].counts
    assert counts.evicted > 200
    assert counts.kept_bytes <= 200_000
    for path in ("/", "/api/items"):
        assert not Answer(app.wsgi_app, path).by_flask
