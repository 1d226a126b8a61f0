"""A purchase seen by a collector: forked web servers, a worker, and Safaricom's side."""

import httpx2
import pytest

from app.models import Payment
from drill.processes import children_of, wait_until
from tests.collector import Collector, open_collector
from tests.e2e.shop import PASSWORD, Purchase, Shop

PUSH = "POST /mpesa/stkpush/v1/processrequest"
NEVER_BY_ITSELF = "3600000"
PAYER_ANSWERS_SECONDS = 3


@pytest.fixture(scope="module")
def collector(e2e_database_kind):
    """One for the shop on each database."""
    with open_collector() as opened:
        yield opened


@pytest.fixture(scope="module")
def bought(make_shop, collector) -> tuple[Shop, Purchase]:
    """A shop in which one has paid, and whose processes then were told to stop."""
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "kiosk",
        "OTEL_BSP_SCHEDULE_DELAY": NEVER_BY_ITSELF,  # what comes, comes at the end
        "OTEL_BSP_MAX_QUEUE_SIZE": "20000",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "20000",
    }
    with make_shop("tracing", **settings).open() as shop:
        purchase = shop.buy()
        shop.advance(PAYER_ANSWERS_SECONDS)
        shop.wait_for_transaction(purchase, "succeeded")
        processes = len(children_of(shop.web.pid))
        assert collector.bodies == []
        shop.stop_worker()
        of_the_worker = len(collector.bodies)
        assert of_the_worker == 1
        assert shop.web.stop() == 0, shop.web.tail()
        assert 1 <= len(collector.bodies) - of_the_worker <= processes
        yield shop, purchase


def only(collector: Collector, name: str):
    (span,) = collector.named(name)
    return span


def test_a_prompt_is_a_request_of_ours_with_a_call_to_safaricom_within(bought, collector):
    asked = only(collector, "POST /api/mpesa/stkpush")
    assert (asked.service, asked.kind, asked.parent_id) == ("kiosk", "server", "")
    assert asked.attributes["http.response.status_code"] == 202
    call = only(collector, PUSH)
    assert (call.trace_id, call.parent_id, call.kind) == (asked.trace_id, asked.id, "client")
    assert call.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
        "sokoni.mpesa_code": "0",
    }
    names = [span.name for span in collector.children_of(asked)]
    assert names.count("transaction") >= 2  # one before the call and one after: none around it


def test_a_report_is_a_request_and_what_it_led_to_belongs_to_it(bought, collector):
    report = only(collector, "POST /api/pay/cb/<string:token>")
    after = only(collector, "after the answer")
    assert (after.trace_id, after.parent_id) == (report.trace_id, report.id)
    statements = [
        one.attributes["db.query.text"]
        for transaction in collector.children_of(after)
        for one in collector.children_of(transaction)
    ]
    assert any(text.startswith("UPDATE payments") for text in statements)


def test_the_workers_sweeps_are_there(bought, collector):
    sweeps = collector.named("job sweep")
    assert {(span.service, span.kind, span.parent_id) for span in sweeps} == {
        ("kiosk", "consumer", "")
    }
    assert any(collector.children_of(span) for span in sweeps)


def test_nothing_of_it_tells_who_paid_or_how_to_forge_a_report(bought, collector):
    shop, purchase = bought
    with shop.reading() as session:
        payment = session.get_one(Payment, purchase.transaction_id)
    hidden = [
        purchase.buyer.phone,
        purchase.buyer.phone[3:],
        purchase.buyer.username,
        purchase.buyer.headers["Authorization"].removeprefix("Bearer "),
        PASSWORD,
        payment.checkout_request_id,
        payment.mpesa_receipt,
        shop.environment()["SECRET_KEY"],
    ]
    deliveries = shop.deliveries_of(payment.checkout_request_id)
    assert deliveries
    hidden += [one["url"].rpartition("/")[2] for one in deliveries]
    assert [text for text in hidden if text.encode() in collector.raw] == []


def test_a_shop_whose_collector_is_dead_sells_says_so_once_and_stops(make_shop):
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "WEB_WORKERS": "1",
    }
    with make_shop("deadcollector", **settings) as shop:
        shop.start_simulator()
        shop.start_web()
        wait_until(lambda: "traces_not_sent" in shop.web.log(), "it is said")
        purchase = shop.buy()
        assert isinstance(purchase.push, httpx2.Response)
        assert shop.web.stop() == 0, shop.web.tail()
        printed = shop.web.log()
    assert printed.count("traces_not_sent") == 1
    assert "Traceback" not in printed
    assert "opentelemetry" not in printed
