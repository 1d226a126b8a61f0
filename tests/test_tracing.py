"""Traces: what is exported, what never is, and that nothing is there where nobody asked."""

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import httpx2
import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from app import create_app
from app.context import TRACING
from app.db import EXTENSION
from app.errors import Conflict
from app.integrations.mpesa import DarajaClient, MemoryTokenStore, MpesaError, MpesaSettings
from app.jobs.queue import JobRunner
from app.jobs.work import Work
from app.ports import PushRequest
from app.tracing import Sender, Tracing
from app.utils.clock import utc_now
from drill.processes import ROOT
from tests.cli.conftest import SETTINGS
from tests.collector import open_collector
from tests.controllers.callers import caller
from tests.factories import PASSWORD, make_product

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
KEY = "a-key-of-the-collector-that-is-secret"
MSISDN = "254712345678"
TOKEN = "c9SQxWWhmdVRlyh0zh8gZDTkubVF"
PUSH = "/mpesa/stkpush/v1/processrequest"
NEVER_BY_ITSELF = "3600000"


@pytest.fixture
def collector():
    with open_collector() as opened:
        yield opened


@pytest.fixture
def ask_for_traces(config, monkeypatch):
    """Settings that name a collector. The SDK reads the environment, which is as before after."""

    def ask(url: str, **more: str):
        named = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_BSP_SCHEDULE_DELAY": NEVER_BY_ITSELF,
            **more,
        }
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        return replace(config, otel_exporter_otlp_endpoint=url, otel=tuple(sorted(named.items())))

    return ask


@pytest.fixture
def traced_config(ask_for_traces, collector):
    return ask_for_traces(collector.url, OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{KEY}")


@pytest.fixture
def traced(traced_config, ports):
    """A shop that traces, on a database of its own engine."""
    app = create_app(traced_config, ports)
    yield app
    app.extensions[TRACING].stop()
    app.extensions[EXTENSION].dispose()


@pytest.fixture
def tracing(traced_config):
    made = Tracing(traced_config)
    yield made
    made.stop()


def test_a_request_is_a_span_by_the_template_of_its_route_and_holds_what_it_did(
    traced, collector, database
):
    client = traced.test_client()
    with database.transaction() as session:
        product = make_product(session)
    _, headers = caller(client, database)
    about = {**headers, "traceparent": TRACEPARENT, "X-Request-Id": "asked-by-a-test"}
    ask = {"products": [{"product_id": product.id, "quantity": 1}]}
    assert client.post("/api/orders?why=because", json=ask, headers=about).status_code == 201
    traced.extensions[TRACING].stop()

    (span,) = collector.named("POST /api/orders")
    assert (span.service, span.kind, span.is_error) == ("sokoni", "server", False)
    assert (span.trace_id, span.parent_id) == (TRACE, SPAN)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/orders",
        "http.response.status_code": 201,
        "sokoni.request_id": "asked-by-a-test",
    }
    (transaction,) = [one for one in collector.children_of(span) if one.name == "transaction"]
    system = database.engine.dialect.name
    inserts = [
        one.attributes
        for one in collector.children_of(transaction)
        if one.name == "INSERT" and one.attributes["db.query.text"].startswith("INSERT INTO orders")
    ]
    assert [one["db.system.name"] for one in inserts] == [system]
    assert {one.trace_id for one in collector.children_of(transaction)} == {TRACE}
    assert collector.headers[0]["path"] == "/v1/traces"
    assert collector.headers[0]["authorization"] == f"Bearer {KEY}"


def test_what_is_asked_by_the_shortest_way_is_a_span_as_well(traced, collector, database):
    with database.transaction() as session:
        product = make_product(session)
    assert traced.test_client().get(f"/api/items/{product.id}").status_code == 200
    traced.extensions[TRACING].stop()
    (span,) = collector.named("GET /api/items/<id:item_id>")
    asked = {one.name for one in collector.children_of(span)}
    assert asked == {"SELECT"}
    assert span.parent_id == ""


def test_no_secret_no_value_and_no_phone_is_exported(traced, collector, database):
    client = traced.test_client()
    _, headers = caller(client, database, phone_number=MSISDN)
    secret = "thesecretofacallback"
    client.post(f"/api/pay/cb/7.{secret}", json={"Body": {}, "PhoneNumber": MSISDN})
    client.get(f"/api/users?phone={MSISDN}&token={secret}", headers=headers)
    client.get(f"/nothing/{secret}", headers={"X-Request-Id": MSISDN, "tracestate": f"a={secret}"})
    client.post("/api/login", json={"username": "amina", "password": secret})
    traced.extensions[TRACING].stop()
    names = {span.name for span in collector.spans if span.kind == "server"}
    assert {"POST /api/pay/cb/<string:token>", "GET elsewhere", "POST /api/login"} <= names
    (nowhere,) = collector.named("GET elsewhere")
    assert nowhere.attributes["sokoni.request_id"] == "2547****678"
    assert nowhere.attributes["error.type"] == "not_found"
    token = headers["Authorization"].removeprefix("Bearer ")
    for hidden in (secret, MSISDN, MSISDN[3:], PASSWORD, token, KEY):
        assert hidden.encode() not in collector.raw


def test_a_fault_of_ours_is_an_error_and_its_message_stays_here(traced_config, ports, collector):
    app = create_app(traced_config, ports)

    def break_down():
        raise RuntimeError(f"of {MSISDN}")

    app.add_url_rule("/api/broken", view_func=break_down)
    assert app.test_client().get("/api/broken").status_code == 500
    app.extensions[TRACING].stop()
    app.extensions[EXTENSION].dispose()
    (span,) = collector.named("GET /api/broken")
    assert (span.is_error, span.events) == (True, 0)
    assert span.attributes["http.response.status_code"] == 500
    assert MSISDN.encode() not in collector.raw


def test_what_is_done_after_the_answer_belongs_to_the_request(tracing, collector):
    kept = []
    run_soon = tracing.carried(lambda work: bool(kept.append(work)) or True)
    with tracing._span("asked", SpanKind.INTERNAL):
        assert run_soon(lambda: None) is True
    kept[0]()
    tracing.stop()
    (asked,), (after,) = collector.named("asked"), collector.named("after the answer")
    assert after.parent_id == asked.id


def test_each_job_and_each_sweep_is_a_span(tracing, collector, config, database, ports):
    done = []
    runner = JobRunner(Work(database, ports, config), tracing.around_job)
    runner.run_job("check_payment", 7)
    runner.sweep()
    tracing.around_job("own", lambda _work, row_id: done.append(row_id))(None, 3)
    with pytest.raises(Conflict):
        tracing.around_job("refused", refuse)(None, 4)
    with pytest.raises(ZeroDivisionError):
        tracing.around_job("broken", lambda _work, row_id: row_id / 0)(None, 5)
    tracing.stop()
    jobs = {span.name: (span.kind, span.attributes, span.is_error) for span in collector.spans}
    assert done == [3]
    assert jobs == {
        "job check_payment": ("consumer", {"sokoni.row_id": 7}, False),
        "job sweep": ("consumer", {}, False),
        "job own": ("consumer", {"sokoni.row_id": 3}, False),
        "job refused": ("consumer", {"sokoni.row_id": 4, "error.type": "Conflict"}, False),
        "job broken": ("consumer", {"sokoni.row_id": 5, "error.type": "ZeroDivisionError"}, True),
    }


def refuse(_work, _row_id):
    raise Conflict("It has changed.", code="changed")


def test_a_statement_that_fails_is_marked_by_the_kind_of_its_error(traced, collector, database):
    own = traced.extensions[EXTENSION]
    with database.transaction() as session:
        product = make_product(session)
    again = text("INSERT INTO products (id, name) VALUES (:id, :name)")
    watcher = traced.extensions[TRACING]
    values = {"id": product.id, "name": "avaluethatstayshere"}
    with (
        watcher._span("outside", SpanKind.INTERNAL),
        pytest.raises(IntegrityError),
        own.transaction() as session,
    ):
        session.execute(again, values)
    watcher.stop()
    (span,) = collector.named("INSERT")
    assert span.is_error
    assert span.attributes["db.query.text"].startswith("INSERT INTO products (id, name) VALUES (")
    assert span.attributes["error.type"] in {"IntegrityError", "NotNullViolation"}
    (transaction,) = collector.named("transaction")
    assert (transaction.is_error, transaction.attributes["error.type"]) == (True, "IntegrityError")
    assert b"avaluethatstayshere" not in collector.raw


def ask_for_a_prompt(tracing, answer):
    """By a client whose transport is watched, within a span. Answers the requests it sent."""
    sent = []

    def respond(request):
        sent.append(request)
        if request.url.path == "/oauth/v1/generate":
            status, document = 200, {"access_token": TOKEN, "expires_in": "3599"}
        elif isinstance(answer, Exception):
            raise answer
        else:
            status, document = answer
        return httpx2.Response(status, content=iter([json.dumps(document).encode()]))

    transport = tracing.watch_transport(httpx2.MockTransport(respond))
    mpesa = MpesaSettings(
        base_url="https://daraja.example",
        consumer_key="key-of-ours",
        consumer_secret="secret-of-ours",
        shortcode="174379",
        passkey="passkey-of-ours",
    )
    prompt = PushRequest(
        amount_shillings=1500,
        msisdn=MSISDN,
        callback_url="https://shop.example/api/pay/cb/7.secret",
        account_reference="SK-1024",
        description="Order",
    )
    with (
        DarajaClient(mpesa, MemoryTokenStore(), utc_now, transport) as client,
        tracing._span("asked", SpanKind.INTERNAL),
        suppress(MpesaError),
    ):
        client.push(prompt)
    tracing.stop()
    return sent


def test_a_call_to_safaricom_is_a_span_with_its_code_and_takes_no_trace_along(tracing, collector):
    accepted = {
        "MerchantRequestID": "2654-4b64-97ff-b827b542881d3130",
        "CheckoutRequestID": f"ws_CO_22112026123000123{MSISDN[3:]}",
        "ResponseCode": "0",
        "ResponseDescription": "Success. Request accepted for processing",
    }
    sent = ask_for_a_prompt(tracing, (200, accepted))
    (asked,) = collector.named("asked")
    calls = {one.name: (one.kind, one.attributes) for one in collector.children_of(asked)}
    of_the_gateway = {"server.address": "daraja.example", "http.response.status_code": 200}
    assert calls == {
        "GET /oauth/v1/generate": ("client", {"http.request.method": "GET", **of_the_gateway}),
        f"POST {PUSH}": (
            "client",
            {"http.request.method": "POST", **of_the_gateway, "sokoni.mpesa_code": "0"},
        ),
    }
    assert len(sent) == 2
    assert not {"traceparent", "tracestate", "baggage"} & {
        name.lower() for request in sent for name in request.headers
    }
    for hidden in (MSISDN[3:], TOKEN, "passkey-of-ours", "secret-of-ours", "7.secret"):
        assert hidden.encode() not in collector.raw


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            (500, {"errorCode": "500.001.1001", "errorMessage": f"of {MSISDN}"}),
            {"http.response.status_code": 500, "sokoni.mpesa_code": "500.001.1001"},
        ),
        (
            (200, {"errorCode": MSISDN}),
            {"http.response.status_code": 200, "sokoni.mpesa_code": "2547****678"},
        ),
        (httpx2.ReadTimeout(f"of {MSISDN}"), {"error.type": "ReadTimeout"}),
    ],
)
def test_a_call_that_fails_tells_its_code_or_its_kind_and_no_more(tracing, collector, answer, told):
    ask_for_a_prompt(tracing, answer)
    (call,) = collector.named(f"POST {PUSH}")
    about = {"http.request.method": "POST", "server.address": "daraja.example"}
    assert call.attributes == {**about, **told}
    assert call.is_error is ("error.type" in told)
    assert MSISDN[3:].encode() not in collector.raw


def test_the_sdk_has_its_settings_and_a_name_of_ours_only_where_none_is_given(
    ask_for_traces, collector
):
    for more, service, count in (
        ({"OTEL_SERVICE_NAME": "the-shop-in-kisumu"}, "the-shop-in-kisumu", 1),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, None, 0),
    ):
        collector.bodies.clear()
        made = Tracing(ask_for_traces(collector.url, **more))
        made.around_job("own", lambda _work, _row_id: None)(None, 1)
        made.stop()
        assert [span.service for span in collector.spans] == [service] * count


def test_a_collector_that_never_answers_keeps_no_process_from_stopping(ask_for_traces):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        made = Tracing(ask_for_traces(url, OTEL_EXPORTER_OTLP_TIMEOUT="3600"))
        made.around_job("own", lambda _work, _row_id: None)(None, 1)
        made.stop()  # or else the test never ends


def test_a_shop_whose_collector_is_dead_answers_as_ever(ask_for_traces, ports, database):
    settings = ask_for_traces("http://127.0.0.1:1", OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    app = create_app(replace(settings, log_level="WARNING"), ports)
    with capture_logs() as logs:
        answers = [app.test_client().get("/api/items").status_code for _ in range(3)]
        app.extensions[TRACING].stop()
    app.extensions[EXTENSION].dispose()
    assert answers == [200] * 3
    (line,) = [line for line in logs if line["event"] == "traces_not_sent"]
    assert line["spans"] >= 3


class DeadExporter(SpanExporter):
    is_dead = True

    def export(self, spans):
        return SpanExportResult.FAILURE if self.is_dead else SpanExportResult.SUCCESS


def test_that_nobody_takes_the_traces_is_said_once_a_minute():
    seconds = [0.0]
    dead = DeadExporter()
    sender = Sender(dead, monotonic=lambda: seconds[0])
    with capture_logs() as logs:
        for seconds[0] in (0, 1, 59, 60, 61):
            assert sender.export([None, None]) is SpanExportResult.FAILURE
        dead.is_dead = False
        seconds[0] = 500
        assert sender.export([None]) is SpanExportResult.SUCCESS
    assert logs == [
        {"event": "traces_not_sent", "log_level": "warning", "spans": 2},
        {"event": "traces_not_sent", "log_level": "warning", "spans": 6},
    ]


UNASKED = """
import sys
sys.modules["opentelemetry"] = None  # redis takes it wherever it is installed, asked or not
from app import create_app
from app.context import TRACING, WORK
from app.cli import worker
from app.jobs.queue import JobRunner, registry
from app.utils.background import Background

app = create_app()
work = app.extensions[WORK]
assert app.test_client().get("/healthz").status_code == 200
assert not [name for name in sys.modules if name.startswith("opentelemetry.")]
assert "app.tracing" not in sys.modules
assert TRACING not in app.extensions
assert "transaction" not in vars(work.database) and "rows" not in vars(work.database.asking)
assert type(work.ports.run_soon) is Background
assert JobRunner(work)._jobs is registry.JOBS
assert not list(work.database.engine.dispatch.before_cursor_execute)
print("nothing")
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OTEL_SERVICE_NAME": "shop"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
    ],
)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_where_nobody_asked_nothing_is_loaded_and_nothing_wrapped(settings, database_url, tmp_path):
    environment = {
        **SETTINGS,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "TRUSTED_HOSTS": "localhost",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", UNASKED],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("nothing\n", 0), done.stderr
