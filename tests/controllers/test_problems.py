"""One shape for every error under the API's addresses, a page elsewhere."""

import re

import pytest
from sqlalchemy import text

from app.db import current_database
from tests.controllers.probe import add_probe

MEMBERS = ["type", "title", "status", "detail", "code", "errors", "request_id"]


@pytest.fixture
def client(make_app):
    return make_app(add_probe).test_client()


def assert_problem(response, status, code):
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [name for name in MEMBERS if name in response.json] == MEMBERS
    assert response.json["status"] == status
    assert response.json["code"] == code
    assert response.json["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/orders/x/y", "/users/x/y", "/mpesa/x"])
def test_attack_101_an_unknown_address_of_the_api_is_a_404_problem(client, path):
    assert_problem(client.get(path), 404, "not_found")


def test_an_unknown_address_elsewhere_is_a_small_page(client):
    response = client.get("/nothing")
    assert response.status_code == 404
    assert response.mimetype == "text/html"
    assert b"There is nothing at this address." in response.data
    assert len(response.data) < 2000


def test_attack_101_a_wrong_method_is_a_405_that_names_the_right_ones(client):
    response = client.delete("/api/probe")
    assert_problem(response, 405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_refusal_keeps_its_own_members(client):
    response = client.post("/api/probe/gateway")
    assert_problem(response, 502, "payment_network_refused")
    assert response.json["payment_id"] == 7


def test_what_is_unavailable_says_when_to_come_back(client):
    response = client.post("/api/probe/unavailable")
    assert_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "2"


def test_nobody_gets_a_401_that_says_how_to_sign_in(client):
    response = client.post("/api/probe/once")
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="sokoni"'


def test_a_bad_token_gets_a_401_that_says_so(client):
    response = client.post("/api/probe/once", headers={"Authorization": "Bearer x.y.z"})
    assert_problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="sokoni", error="invalid_token"'


def test_attack_101_a_bug_is_a_500_that_tells_nothing_and_a_traceback_in_the_log(client, capsys):
    response = client.get("/api/probe/bug")
    assert_problem(response, 500, "internal")
    assert b"ZeroDivision" not in response.data
    assert b"secret detail" not in response.data
    log = capsys.readouterr().err
    assert "ZeroDivisionError: secret detail 2547****678" in log
    assert response.json["request_id"] in log


@pytest.mark.parametrize("broken", ["SELECT nothing FROM nowhere", "SELEKT 1"])
def test_broken_sql_is_a_bug_and_not_an_excuse(new_app, broken):
    add_probe(new_app)

    @new_app.get("/api/broken")
    def query():
        with current_database().reading() as session:
            session.execute(text(broken))

    response = new_app.test_client().get("/api/broken")
    assert_problem(response, 500, "internal")
    assert not re.search(rb"nowhere|SELEKT|sqlite|psycopg", response.data)


def test_a_locked_or_cancelled_statement_is_a_503_with_a_hint(new_app, database):
    add_probe(new_app)

    @new_app.get("/api/busy")
    def wait():
        with current_database().reading() as session:
            if current_database().is_sqlite:
                session.execute(text("PRAGMA busy_timeout=50"))
                session.execute(
                    text("INSERT INTO paces (name, next_at) VALUES ('a', '2026-01-01')")
                )
            else:
                session.execute(text("SET LOCAL statement_timeout = 50"))
                session.execute(text("SELECT pg_sleep(5)"))

    with database.transaction():
        response = new_app.test_client().get("/api/busy")
    assert_problem(response, 503, "database_unavailable")
    assert response.headers["Retry-After"] == "2"


@pytest.mark.fault("F38")
def test_an_exhausted_pool_is_a_503(new_app, database_url):
    from app.db import EXTENSION, Database

    small = Database(database_url, pool_size=1, pool_timeout_seconds=0.05)
    small.engine.pool._max_overflow = 0
    new_app.extensions[EXTENSION] = small

    @new_app.get("/api/pool")
    def use():
        with current_database().reading() as session:
            session.execute(text("SELECT 1"))

    with small.engine.connect():
        response = new_app.test_client().get("/api/pool")
    small.dispose()
    assert_problem(response, 503, "database_unavailable")


@pytest.mark.fault("F34")
def test_a_database_out_of_reach_is_a_503(new_app):
    from app.db import EXTENSION, Database

    gone = Database("postgresql+psycopg://nobody:secretword@127.0.0.1:1/none")
    new_app.extensions[EXTENSION] = gone

    @new_app.get("/api/gone")
    def use():
        with current_database().reading() as session:
            session.execute(text("SELECT 1"))

    response = new_app.test_client().get("/api/gone")
    gone.dispose()
    assert_problem(response, 503, "database_unavailable")
    assert b"secretword" not in response.data
