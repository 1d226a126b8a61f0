"""Processes that stop, die and come back while money is under way."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import httpx2
import pytest
from sqlalchemy import select, update

from app.models import Payment
from drill.processes import children_of, wait_until
from tests.e2e.shop import QUANTITY, STOCK, Purchase, Shop, wait_for_worker
from tests.e2e.story import SUCCESS
from tests.e2e.test_result_codes import ENDS

CALLBACK_LOST = "7001"
ANSWER_AND_CALLBACK_LOST = "7020"
NO_VERDICT_BY_QUERY = {"2029", "5555"}
"""Codes that a query is not believed for: no list says that they are final."""

PAID_BOOKS = {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
PAYER_ANSWERS_SECONDS = 3
PROMPTS_ARE_OVER_SECONDS = 61


@pytest.fixture(scope="module")
def opened(make_shop):
    settings = {
        "WEB_WORKERS": "1",
        "MPESA_READ_TIMEOUT_SECONDS": "14",
        "MPESA_QUERY_SCHEDULE_SECONDS": ",".join(str(2 + step) for step in range(60)),
    }
    with make_shop("processes", **settings).open() as shop:
        yield shop


@pytest.fixture
def shop(opened: Shop) -> Shop:
    """The module's shop with all its processes up, whatever the last test did to them."""
    assert opened.simulator.is_alive()
    if not opened.worker.is_alive():
        opened.start_worker()
    if not opened.web.is_alive():
        opened.start_web()
    return opened


def refuses(shop: Shop) -> bool:
    try:
        shop.http.get(shop.web_url + "/healthz", timeout=1)
    except httpx2.ConnectError:
        return True
    except httpx2.TransportError:
        return False
    return False


def payment_of(shop: Shop, purchase: Purchase) -> Payment | None:
    return next(iter(shop.payments_of(purchase.order_id)), None)


def settled_by_query(shop: Shop, purchase: Purchase) -> None:
    facts = shop.facts(purchase)
    assert facts.transaction["status"] == "succeeded"
    assert facts.transaction["mpesa_receipt"] is None
    assert facts.order["status"] == "paid"
    assert (facts.on_hand, facts.reserved) == (STOCK - QUANTITY, 0)
    assert facts.ledger == PAID_BOOKS
    assert facts.notifications == ["order_paid"]


@pytest.mark.fault("F43")
def test_sigterm_lets_a_request_in_flight_finish(shop):
    purchase = shop.prepare(SUCCESS, name="inflight")
    shop.simulator.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(shop.push, purchase)
            wait_until(lambda: payment_of(shop, purchase), "the push is on record")
            shop.web.signal(signal.SIGTERM)
            with suppress(AssertionError):  # a busy machine may need longer than the push waits
                wait_until(lambda: refuses(shop), "the web server takes no more requests", 2)
            assert not pushing.done()
            shop.simulator.signal(signal.SIGCONT)
            answer = pushing.result()
    finally:
        shop.simulator.signal(signal.SIGCONT)
    assert answer.status_code == 202
    wait_until(lambda: refuses(shop), "the web server takes no more requests")
    (prompt,) = shop.prompts(purchase.buyer.phone)
    assert answer.json()["checkout_request_id"] == prompt["checkout_request_id"]
    assert shop.web.wait() == 0


def test_a_web_server_that_is_stopped_while_it_starts_is_gone_at_once(opened):
    if opened.web.is_alive():
        assert opened.web.stop() == 0
    starting = opened.start_web(wait=False)
    wait_until(lambda: children_of(starting.pid), "its workers have begun to load the shop")
    assert starting.stop(seconds=15) == 0  # a worker that will not go is killed after 20


def test_a_web_worker_that_is_killed_is_replaced(shop):
    before = children_of(shop.web.pid)
    victim = before[-1]
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: (
            victim not in children_of(shop.web.pid)
            and len(children_of(shop.web.pid)) == len(before)
        ),
        "another process stands in for the dead one",
    )
    shop.wait_for_web()
    purchase = shop.buy(SUCCESS, name="afterwards")
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.wait_for_order(purchase, "paid")


@pytest.mark.fault("F8", "F15")
def test_queries_alone_settle_everything_while_the_web_server_is_dead(shop):
    """All callbacks are lost, as nobody listens: the worker finds out by itself."""
    with ThreadPoolExecutor(6) as pool:
        bought = pool.map(lambda digits: shop.buy(digits, name=f"d{digits}"), [*ENDS, SUCCESS])
        purchases = dict(zip([*ENDS, SUCCESS], bought, strict=True))
    os.kill(shop.web.pid, signal.SIGKILL)  # its workers are left to notice by themselves
    wait_until(lambda: refuses(shop), "the orphans have let go of the port")
    shop.advance(PROMPTS_ARE_OVER_SECONDS)
    for digits, purchase in purchases.items():
        ends = (
            ["unknown"] if digits in NO_VERDICT_BY_QUERY else ["succeeded", "failed", "cancelled"]
        )
        shop.wait_for_transaction(purchase, *ends)
    shop.web.clear_away()
    shop.start_web()
    for digits, purchase in purchases.items():
        facts = shop.facts(purchase)
        if digits == SUCCESS:
            settled_by_query(shop, purchase)
            continue
        code = None if digits in NO_VERDICT_BY_QUERY else ENDS[digits]
        expected = {"1032": "cancelled", None: "unknown"}.get(code, "failed")
        assert (digits, facts.transaction["status"]) == (digits, expected)
        assert facts.transaction["result_code"] == code
        assert facts.order["status"] == "pending"
        assert facts.ledger == {}
        assert facts.inbox == []


def test_a_worker_that_is_killed_in_the_middle_of_a_check_is_taken_over_from(shop):
    purchase = shop.buy(CALLBACK_LOST, name="leased")
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.simulator.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: payment_of(shop, purchase).leased_until, "a worker asks Safaricom")
        shop.worker.kill()
    finally:
        shop.simulator.signal(signal.SIGCONT)
    left = payment_of(shop, purchase)
    assert left.status in {"pending", "unknown"}
    assert left.leased_until > datetime.now(UTC)

    shop.start_worker()
    other = shop.buy(CALLBACK_LOST, name="other")
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.wait_for_order(other, "paid")  # the new worker works, and respects the dead one's lease
    assert payment_of(shop, purchase).leased_until == left.leased_until
    with shop.database.transaction() as session:  # a minute later
        session.execute(
            update(Payment)
            .where(Payment.id == purchase.transaction_id)
            .values(leased_until=datetime.now(UTC))
        )
    shop.wait_for_order(purchase, "paid")
    settled_by_query(shop, purchase)


@pytest.mark.fault("F52")
def test_two_workers_after_one_that_was_killed_lose_nothing_and_count_once(shop):
    purchases = [shop.buy(CALLBACK_LOST, name=f"lost{number}") for number in range(4)]
    shop.worker.kill()
    shop.advance(PAYER_ANSWERS_SECONDS)
    second = shop.start_worker(wait=False)
    first = shop.start_worker(wait=False)
    for purchase in purchases:
        shop.wait_for_order(purchase, "paid")
        settled_by_query(shop, purchase)
    for worker in (second, first):  # one may have done it all before the other was up
        wait_for_worker(worker)
    assert second.stop() == 0
    assert first.is_alive()


def test_a_payment_that_was_let_go_is_paid_by_a_callback_that_comes_after_all(shop):
    purchase = shop.buy(ANSWER_AND_CALLBACK_LOST, name="letgo")
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.restart_worker(wait=False, MPESA_NO_ANSWER_AFTER_SECONDS="0.1")
    shop.wait_for_transaction(purchase, "failed")
    assert shop.facts(purchase).tasks == ["unknown_payment"]
    assert shop.ledger_of(purchase.order_id) == {}

    (prompt,) = shop.prompts(purchase.buyer.phone)
    shop.simulate("POST", f"/prompts/{prompt['checkout_request_id']}/replay", {})
    shop.wait_for_transaction(purchase, "succeeded")
    facts = shop.facts(purchase)
    assert facts.transaction["mpesa_receipt"] == prompt["receipt"]
    assert facts.transaction["checkout_request_id"] == prompt["checkout_request_id"]
    assert facts.order["status"] == "paid"
    assert facts.ledger == PAID_BOOKS
    assert facts.notifications == ["payment_failed", "order_paid"]


def test_the_books_agree_after_all_that_dying(shop):
    statement = select(Payment.id).where(Payment.status.in_(["created", "pending"]))

    def nothing_under_way() -> bool:
        shop.advance(PAYER_ANSWERS_SECONDS)
        with shop.reading() as session:
            return session.scalars(statement).first() is None

    wait_until(nothing_under_way, "nothing is under way any more")
    shop.check_books(by_command=True)
