"""Kill -9 between any two lines of an order or a payment, and nothing is lost or done twice.

Each doomed web server dies by SIGKILL at one named point. All of them die first, while no worker
runs and no other web server listens; what lies there then is looked at. Then a web server and a
worker are started, and what they make of it is looked at.
"""

import signal
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from app.models import (
    IdempotencyKey,
    InboxMessage,
    LedgerEvent,
    Order,
    Payment,
    Product,
    Reservation,
    StockMovement,
)
from drill.processes import wait_until
from tests.e2e.shop import AMOUNT_SHILLINGS, QUANTITY, STOCK, DoomedWeb, Person, Purchase, Shop

PAID_BOOKS = {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
PAYER_ANSWERS_SECONDS = 3
ORDER_POINTS = ("after_stock_hold", "after_order_commit")
PUSH_POINTS = ("before_push", "after_push")
CALLBACK_POINTS = ("after_inbox_commit", "beside_callback_answer", "in_settlement")
POINTS = ORDER_POINTS + PUSH_POINTS + CALLBACK_POINTS


@dataclass(frozen=True)
class Remains:
    """What the database held right after the process had died."""

    orders: int
    payment: str | None
    ids: bool
    unread: int
    booked: int
    on_hand: int
    reserved: int
    movements: int
    keys: int


@dataclass
class Wreck:
    shop: Shop
    exit_codes: dict[str, int] = field(default_factory=dict)
    purchases: dict[str, Purchase] = field(default_factory=dict)
    buyers: dict[str, tuple[Person, int]] = field(default_factory=dict)
    remains: dict[str, Remains] = field(default_factory=dict)
    deliveries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    second_order: dict[str, httpx2.Response] = field(default_factory=dict)
    refused_push: httpx2.Response | None = None


@pytest.fixture(scope="module")
def wreck(make_shop) -> Wreck:
    with make_shop("crashes") as shop:
        shop.start_simulator()
        # callbacks come to the doomed itself only where they are to kill it
        doomed = shop.start_doomed_webs(
            {point: None if point in CALLBACK_POINTS else shop.web_url for point in POINTS}
        )
        wreck = Wreck(shop)
        prepare(wreck, doomed["before_push"].url)
        # pushes last: the callback of one comes when the clock moves, and must find somebody
        for point in (*CALLBACK_POINTS, *ORDER_POINTS, *PUSH_POINTS):
            drive_to_death(wreck, point, doomed[point])
        recover(wreck)
        yield wreck


def prepare(wreck: Wreck, url: str) -> None:
    """Sign up and order where that kills nobody."""
    shop = wreck.shop
    shop.web_url, own_url = url, shop.web_url
    for point in ORDER_POINTS:
        wreck.buyers[point] = (shop.sign_up("buyer", shop.phone("5678")), shop.offer())
    for point in PUSH_POINTS + CALLBACK_POINTS:
        wreck.purchases[point] = shop.prepare(name=point)
        purchase = wreck.purchases[point]
        wreck.buyers[point] = (purchase.buyer, purchase.product_id)
    shop.web_url = own_url


def drive_to_death(wreck: Wreck, point: str, doomed: DoomedWeb) -> None:
    shop = wreck.shop
    buyer, product_id = wreck.buyers[point]
    if point in ORDER_POINTS:
        with pytest.raises(httpx2.TransportError):
            order_once(shop, buyer, product_id, point, url=doomed.url)
    elif point in PUSH_POINTS:
        with pytest.raises(httpx2.TransportError):
            shop.push(wreck.purchases[point], url=doomed.url)
    else:
        answer = shop.push(wreck.purchases[point], url=doomed.url)
        assert answer.status_code == 202, answer.text
        shop.advance(PAYER_ANSWERS_SECONDS)
        checkout_request_id = answer.json()["checkout_request_id"]
        wreck.deliveries[point] = shop.deliveries_of(checkout_request_id)
    wreck.exit_codes[point] = doomed.wait_for_death()
    note_transaction(wreck, point)
    wreck.remains[point] = examine(wreck, point)


def order_once(
    shop: Shop, buyer: Person, product_id: int, key: str, *, url: str = ""
) -> httpx2.Response:
    ask = {"products": [{"product_id": product_id, "quantity": QUANTITY}]}
    headers = {"Idempotency-Key": key}
    return shop.call("POST", "/api/orders", buyer, url=url, json=ask, headers=headers)


def note_transaction(wreck: Wreck, point: str) -> None:
    if point in wreck.purchases:
        (payment,) = wreck.shop.payments_of(wreck.purchases[point].order_id)
        wreck.purchases[point].transaction_id = payment.id


def examine(wreck: Wreck, point: str) -> Remains:
    buyer, product_id = wreck.buyers[point]
    with wreck.shop.reading() as session:
        payment = session.scalars(select(Payment).where(Payment.user_id == buyer.id)).one_or_none()
        product = session.get_one(Product, product_id)
        mine = {
            "orders": select(Order.id).where(Order.user_id == buyer.id),
            "unread": select(InboxMessage.id).where(
                InboxMessage.payment_id == (payment.id if payment else None),
                InboxMessage.processed_at.is_(None),
            ),
            "booked": select(LedgerEvent.id)
            .join(Order, Order.id == LedgerEvent.order_id)
            .where(Order.user_id == buyer.id),
            "movements": select(StockMovement.id).where(StockMovement.product_id == product_id),
            "keys": select(IdempotencyKey.id).where(IdempotencyKey.user_id == buyer.id),
        }
        counts = {
            name: session.scalars(select(func.count()).select_from(rows.subquery())).one()
            for name, rows in mine.items()
        }
        return Remains(
            payment=payment.status if payment else None,
            ids=bool(payment and payment.checkout_request_id),
            on_hand=product.on_hand,
            reserved=product.reserved,
            **counts,
        )


def recover(wreck: Wreck) -> None:
    shop = wreck.shop
    shop.start_worker(wait=False)
    shop.start_web()
    for point in ORDER_POINTS:
        buyer, product_id = wreck.buyers[point]
        wreck.second_order[point] = order_once(shop, buyer, product_id, point)
    wreck.refused_push = shop.push(wreck.purchases["before_push"])
    shop.advance(PAYER_ANSWERS_SECONDS)
    for point in ("after_push", *CALLBACK_POINTS):
        shop.wait_for_transaction(wreck.purchases[point], "succeeded")
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")


@pytest.mark.parametrize("point", POINTS)
def test_the_process_died_by_sigkill_at_the_named_point(wreck, point):
    assert wreck.exit_codes[point] == -signal.SIGKILL


@pytest.mark.fault("F1")
def test_a_death_after_the_stock_was_held_leaves_nothing(wreck):
    assert wreck.remains["after_stock_hold"] == Remains(
        orders=0,
        payment=None,
        ids=False,
        unread=0,
        booked=0,
        on_hand=STOCK,
        reserved=0,
        movements=1,  # the goods' receipt
        keys=0,
    )
    answer = wreck.second_order["after_stock_hold"]
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers
    assert_one_order(wreck, "after_stock_hold", answer)


@pytest.mark.fault("F2")
def test_a_death_after_the_order_was_committed_loses_only_the_answer(wreck):
    assert wreck.remains["after_order_commit"] == Remains(
        orders=1,
        payment=None,
        ids=False,
        unread=0,
        booked=0,
        on_hand=STOCK,
        reserved=QUANTITY,
        movements=2,
        keys=1,
    )
    answer = wreck.second_order["after_order_commit"]
    assert answer.status_code == 201
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert_one_order(wreck, "after_order_commit", answer)


def assert_one_order(wreck, point, answer):
    buyer, product_id = wreck.buyers[point]
    with wreck.shop.reading() as session:
        order = session.scalars(select(Order).where(Order.user_id == buyer.id)).one()
        hold = session.scalars(select(Reservation).where(Reservation.order_id == order.id)).one()
        product = session.get_one(Product, product_id)
    assert (answer.json()["id"], answer.json()["number"]) == (order.id, order.number)
    assert (hold.quantity, hold.state) == (QUANTITY, "active")
    assert (product.on_hand, product.reserved) == (STOCK, QUANTITY)


@pytest.mark.fault("F3")
def test_a_death_before_the_push_leaves_a_row_that_nobody_pays_twice(wreck):
    remains = wreck.remains["before_push"]
    assert (remains.payment, remains.ids, remains.booked) == ("created", False, 0)
    assert wreck.shop.prompts(wreck.purchases["before_push"].buyer.phone) == []
    assert wreck.refused_push.status_code == 409
    assert wreck.refused_push.json()["code"] == "payment_in_progress"


@pytest.mark.fault("F4")
def test_a_death_after_the_push_is_mended_by_the_callback(wreck):
    """Safaricom took the push and its ids were never kept: the address alone finds the payment."""
    remains = wreck.remains["after_push"]
    assert (remains.payment, remains.ids, remains.booked) == ("created", False, 0)
    purchase = wreck.purchases["after_push"]
    (prompt,) = wreck.shop.prompts(purchase.buyer.phone)
    transaction = wreck.shop.transaction(purchase)
    assert transaction["checkout_request_id"] == prompt["checkout_request_id"]
    assert transaction["merchant_request_id"] == prompt["merchant_request_id"]


@pytest.mark.fault("F5", "F6", "F7")
@pytest.mark.parametrize(
    ("point", "answers"),
    [
        ("after_inbox_commit", {None}),
        ("beside_callback_answer", {None, 200}),  # the death races with the answer beside it
        ("in_settlement", {None, 200}),
    ],
)
def test_a_callback_that_was_kept_survives_whoever_reads_it(wreck, point, answers):
    (delivery,) = wreck.deliveries[point]
    assert delivery["status"] in answers
    remains = wreck.remains[point]
    assert (remains.payment, remains.unread) == ("pending", 1)
    assert (remains.booked, remains.on_hand, remains.reserved) == (0, STOCK, QUANTITY)


@pytest.mark.fault("F5", "F6", "F7")
@pytest.mark.parametrize("point", ["after_push", *CALLBACK_POINTS])
def test_whoever_comes_next_settles_it_once(wreck, point):
    purchase = wreck.purchases[point]
    facts = wreck.shop.facts(purchase)
    (prompt,) = wreck.shop.prompts(purchase.buyer.phone)
    assert facts.transaction["status"] == "succeeded"
    assert facts.transaction["mpesa_receipt"] == prompt["receipt"]  # so it was the callback
    assert facts.payment["amount_verified"] is True
    assert (facts.order["status"], facts.order["amount_paid"]) == ("paid", AMOUNT_SHILLINGS)
    assert (facts.on_hand, facts.reserved) == (2, 0)
    assert facts.ledger == PAID_BOOKS
    assert facts.inbox in (["settled"], ["already_settled"])
    assert facts.notifications == ["order_paid"]


@pytest.mark.fault("F16")
def test_the_same_callback_fifty_times_at_once_adds_nothing(wreck):
    shop, purchase = wreck.shop, wreck.purchases["after_push"]
    before = shop.facts(purchase)
    (prompt,) = shop.prompts(purchase.buyer.phone)
    address = f"/prompts/{prompt['checkout_request_id']}/replay"
    sent = shop.simulate("POST", address, {"times": 50, "at_once": True})["deliveries"]
    assert [one["status"] for one in sent] == [200] * 50
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")
    after = shop.facts(purchase)
    assert after.inbox == before.inbox + ["already_settled"] * 50
    assert after.ledger == before.ledger == PAID_BOOKS
    assert (after.on_hand, after.reserved) == (2, 0)
    assert after.notifications == ["order_paid"]


@pytest.mark.fault("F3")
def test_a_push_that_was_never_sent_is_let_go_and_may_be_tried_again(wreck):
    shop, purchase = wreck.shop, wreck.purchases["before_push"]
    shop.restart_worker(MPESA_NO_ANSWER_AFTER_SECONDS="0.1")
    shop.wait_for_transaction(purchase, "failed")
    facts = shop.facts(purchase)
    assert facts.tasks == ["unknown_payment"]
    assert (facts.order["status"], facts.reserved) == ("pending", QUANTITY)

    again = Purchase("again", purchase.buyer, purchase.product_id, purchase.order_id)
    assert shop.push(again).status_code == 202
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.wait_for_transaction(again, "succeeded")
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert len(shop.prompts(purchase.buyer.phone)) == 1


def test_the_books_of_the_wreck_agree_with_safaricoms(wreck):
    wreck.shop.check_books(by_command=True)
