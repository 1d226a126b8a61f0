"""More requests than a process can work on, and connections that others hold."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from app.context import GATE
from app.controllers.idempotency import run_in_phases
from app.db import EXTENSION, OVERFLOW, Database
from app.models import InboxMessage, Payment
from app.security import public, require_user
from app.utils.gate import Rank, aside
from app.utils.http import HSTS
from drill.processes import wait_until
from tests.controllers.callers import caller
from tests.core import SECRET, ask_to_pay, buy, database_snapshot, make_buyer, push_ids
from tests.factories import make_product
from tests.safaricom import callback_body

ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
SENTENCE = "Too many are here at once, so this was not begun. Try again in a moment."


class Slow:
    """Views that take as long as a test wants."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.begun = 0

    def __call__(self, app: Flask) -> None:
        @app.route("/api/slow", methods=["GET", "POST"])
        @public
        def slow():
            self.begun += 1
            assert self.goes_on.wait(60)
            return {}

        @app.get("/api/outside")
        @public
        def outside():
            with aside():
                self.begun += 1
                assert self.goes_on.wait(60)
            return {}


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.goes_on.set()


@pytest.fixture
def busy(make_app, slow):
    """A shop that works on one request, while two more wait: a reader and a writer."""
    app = make_app(slow, web_threads=1, web_queue=2, web_queue_seconds=60)
    gate = app.extensions[GATE]
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(app.test_client().get, "/api/slow")]
        wait_until(lambda: slow.begun == 1, "it works on a request")
        for number, method in enumerate(["get", "post"], 1):
            answers.append(pool.submit(getattr(app.test_client(), method), "/api/slow"))
            wait_until(lambda number=number: gate.waiting == number, "another waits")
        yield app
        slow.goes_on.set()
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
    assert (gate.busy, gate.waiting) == (0, 0)


@pytest.mark.fault("F41")
def test_beyond_the_queue_readers_and_writers_are_sent_away_before_anything_is_done(
    busy, database, slow
):
    client = busy.test_client()
    before = database_snapshot(database)
    for answer in (
        client.get("/api/items"),
        client.get("/api/items", headers={"Authorization": "Bearer nonsense"}),
        client.post("/api/register", json={"username": "amina"}),
        client.post("/api/orders", headers={"Host": "elsewhere.example"}),
    ):
        problem = answer.get_json()
        assert (answer.status_code, problem.pop("request_id")) == (
            503,
            answer.headers["X-Request-Id"],
        )
        assert answer.mimetype == "application/problem+json"
        assert answer.headers["Retry-After"] == "2"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Strict-Transport-Security"] == HSTS
        assert problem == {
            "type": "/docs#error-503",
            "title": "Not available now",
            "status": 503,
            "detail": SENTENCE,
            "code": "overloaded",
            "errors": [],
        }
    assert slow.begun == 1
    assert database_snapshot(database) == before


def test_people_are_told_in_their_language_what_to_do(busy):
    client = busy.test_client()
    english = client.get("/")
    assert (english.status_code, english.mimetype) == (503, "text/html")
    assert SENTENCE in english.text
    assert '<html lang="en">' in english.text
    swahili = client.get("/", headers={"Accept-Language": "sw-KE, en"})
    assert '<html lang="sw">' in swahili.text
    assert "Watu wengi mno wako hapa" in swahili.text
    assert client.get("/", headers={"Accept-Language": "sw-KE"}).data == swahili.data
    client.set_cookie("sokoni_language", "en", domain="localhost")
    assert client.get("/", headers={"Accept-Language": "sw-KE"}).data == english.data
    nothing = client.head("/")
    assert (nothing.status_code, nothing.data) == (503, b"")


def test_the_id_of_a_caller_is_theirs_also_when_they_are_sent_away(busy):
    client = busy.test_client()
    theirs = client.get("/api/items", headers={"X-Request-Id": "abc-123-def"})
    assert theirs.get_json()["request_id"] == "abc-123-def"
    foul = client.get("/api/items", headers={"X-Request-Id": '"}, {"evil'})
    assert foul.get_json()["request_id"] != '"}, {"evil'


@pytest.fixture
def payment(database):
    with database.transaction() as session:
        buyer = make_buyer(session)
        order = buy(session, buyer, (make_product(session, price_cents=149_950), 1))
        return ask_to_pay(session, order)


def report(app, payment: Payment):
    return app.test_client().post(
        f"/api/pay/cb/{payment.id}.{SECRET.value}", data=callback_body(*push_ids(payment.id))
    )


def kept(database) -> list[tuple]:
    with database.reading() as session:
        return [
            tuple(row)
            for row in session.execute(
                select(InboxMessage.source, InboxMessage.payment_id).order_by(InboxMessage.id)
            )
        ]


@pytest.mark.fault("F41")
def test_reports_and_probes_are_never_sent_away(busy, database, payment):
    client = busy.test_client()
    assert client.get("/api/items").status_code == 503
    assert report(busy, payment).get_json() == ACCEPTED
    unsigned = client.post("/mpesa/callback", data=callback_body(*push_ids(payment.id)))
    assert unsigned.get_json() == ACCEPTED
    assert kept(database) == [("stk_callback", payment.id), ("unsigned_callback", None)]
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.fault("F38")
def test_a_report_is_kept_while_slow_queries_hold_every_connection(
    new_app, database, database_url, payment
):
    own = Database(database_url, pool_size=1, pool_timeout_seconds=0.05, reserve=4)
    new_app.extensions[EXTENSION] = own
    with ExitStack() as closing, ThreadPoolExecutor(1 + OVERFLOW) as pool:
        closing.callback(own.dispose)
        holding = [own.engine.connect() for _ in range(1 + OVERFLOW)]
        pids = (
            []
            if own.is_sqlite
            else [one.scalar(text("SELECT pg_backend_pid()")) for one in holding]
        )
        sleeping = [pool.submit(sleep, one) for one in holding if pids]
        try:
            refused = new_app.test_client().get("/api/items")
            assert (refused.status_code, refused.get_json()["code"]) == (
                503,
                "database_unavailable",
            )
            assert report(new_app, payment).get_json() == ACCEPTED
            assert kept(database) == [("stk_callback", payment.id)]
        finally:
            with database.transaction() as session:
                for pid in pids:
                    session.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
            for one in sleeping:
                one.result()
            for one in holding:
                one.close()
        assert new_app.test_client().get("/api/items").status_code == 200


def sleep(connection) -> None:
    with pytest.raises(DBAPIError, match="canceling"):
        connection.execute(text("SET statement_timeout = 0; SELECT pg_sleep(60)"))


@pytest.mark.fault("F12")
def test_who_waits_for_safaricom_keeps_nobody_from_reading(make_app, slow):
    app = make_app(slow, web_threads=1, web_queue=0)
    gate = app.extensions[GATE]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.test_client().get, "/api/outside")
        wait_until(lambda: slow.begun == 1, "it waits for somebody outside")
        assert (gate.busy, gate.aside) == (0, 1)
        assert app.test_client().get("/api/items").status_code == 200
        slow.goes_on.set()
        assert waiting.result().status_code == 200
    assert (gate.busy, gate.aside) == (0, 0)


def test_a_prompt_is_asked_for_without_holding_a_place(new_app, database):
    gate, seen = new_app.extensions[GATE], []

    @new_app.post("/api/phases")
    @require_user
    def phases():
        from app.controllers.idempotency import Answer

        return run_in_phases(
            lambda _session: 1,
            lambda _id: seen.append((gate.busy, gate.aside)),
            lambda _session, _id: Answer(201, {}),
        )

    client = new_app.test_client()
    _, headers = caller(client, database)
    assert client.post("/api/phases", headers=headers).status_code == 201
    assert seen == [(0, 1)]


def test_a_view_that_breaks_gives_its_place_back(new_app):
    @new_app.get("/api/broken")
    @public
    def broken():
        raise ZeroDivisionError

    gate = new_app.extensions[GATE]
    assert new_app.test_client().get("/api/broken").status_code == 500
    assert (gate.busy, gate.waiting) == (0, 0)
    assert gate.enter(Rank.READER)


def test_one_line_tells_of_all_who_were_sent_away(busy, capsys):
    client = busy.test_client()
    busy.wsgi_app._log_at = 0.0
    for _ in range(5):
        client.get("/api/items")
    lines = [line for line in capsys.readouterr().err.splitlines() if "overloaded" in line]
    assert len(lines) == 1
    assert '"sent_away":1' in lines[0].replace(" ", "")
