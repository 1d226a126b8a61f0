"""One order, one phone, one key, one callback: whatever comes at once, money counts once."""

from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import select

from app.context import WORK
from app.integrations.mpesa import MpesaMisconfigured
from app.jobs.check_payment import check_due_payments
from app.jobs.expire_orders import expire_due_orders
from app.jobs.push import push_now
from app.models import (
    IdempotencyKey,
    InboxMessage,
    LedgerEvent,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    Task,
)
from app.services.due_payments import reserve_query_slot
from app.services.end_order import cancel_order
from app.services.move_order import lock_order
from app.services.record_push import (
    record_acceptance,
    record_refusal,
    report_misconfiguration,
)
from tests.controllers.sign_in import sign_in
from tests.core import SECRET, ask_to_pay, buy, make_buyer, pay, push_ids
from tests.factories import NOW, actor_of, make_product
from tests.looking import how_many, is_sound
from tests.races.starting_line import posting, tally, together
from tests.safaricom import callback_body

SHORT = timedelta(seconds=2)


@pytest.fixture
def work(app, database):
    work = app.extensions[WORK]
    return replace(
        work, database=database, config=replace(work.config, mpesa_queries_per_second=1000)
    )


@pytest.fixture
def shop(database):
    """A buyer with a pending order of KES 1500; one pair of boots was there, and is held."""
    with database.transaction() as session:
        buyer = make_buyer(session)
        order = buy(session, buyer, (make_product(session, stock=1), 1))
    return buyer, order


def begin_payment(database, order, **options) -> Payment:
    with database.transaction() as session:
        return ask_to_pay(session, order, **options)


@pytest.mark.fault("F23")
def test_attack_88_two_tabs_pay_and_one_prompt_goes_out(app, database, gateway, shop):
    buyer, order = shop
    headers = sign_in(app, buyer)
    pay_it = posting(app, "/mpesa/stkpush", headers, json={"order_id": order.id})

    answers = together([pay_it] * 6)

    assert tally([status for status, _ in answers]) == {202: 1, 409: 5}
    assert len(gateway.pushes) == 1
    assert how_many(database, Payment) == 1
    assert is_sound(database)


def test_attack_86_one_phone_is_rung_once_whoever_asks_at_once(app, database, gateway):
    with database.transaction() as session:
        boots = make_product(session, stock=9)
        buyers = [make_buyer(session) for _ in range(8)]
        orders = [buy(session, buyer, (boots, 1)) for buyer in buyers]

    answers = together(
        [
            posting(
                app,
                "/mpesa/stkpush",
                sign_in(app, buyer),
                json={"order_id": order.id, "phone_number": "0700000001"},
            )
            for buyer, order in zip(buyers, orders, strict=True)
        ]
    )

    assert tally([status for status, _ in answers]) == {202: 1, 409: 7}
    assert len(gateway.pushes) == 1
    assert is_sound(database)


@pytest.mark.fault("F16")
def test_attack_79_the_same_callback_50_times_at_once_counts_once(app, database, shop):
    _, order = shop
    payment = begin_payment(database, order)
    path = f"/api/pay/cb/{payment.id}.{SECRET.value}"
    post = posting(app, path, data=callback_body(*push_ids(payment.id)))

    answers = together([post] * 50)

    assert tally([status for status, _ in answers]) == {200: 50}
    assert how_many(database, InboxMessage, InboxMessage.processed_at.is_not(None)) == 50
    with database.reading() as session:
        assert tally(session.scalars(select(InboxMessage.outcome))) == {
            "settled": 1,
            "already_settled": 49,
        }
        assert session.scalars(select(LedgerEvent.kind).order_by(LedgerEvent.id)).all() == [
            "payment",
            "sale",
        ]
        assert session.scalars(select(MpesaReceipt.payment_id)).all() == [payment.id]
    assert is_sound(database)


@pytest.mark.fault("F24", "F25")
@pytest.mark.parametrize("rival", ["cancel", "expire"])
def test_an_order_that_ends_while_it_is_paid_ends_one_way(database, work, clock, rival):
    outcomes = set()
    for _ in range(6):
        with database.transaction() as session:
            buyer = make_buyer(session)
            order = buy(session, buyer, (make_product(session, stock=1), 1), now=clock())
            payment = ask_to_pay(session, order, clock())
        if rival == "expire":  # given up on, so that nothing keeps it from expiring
            with database.transaction() as session:
                session.get_one(Payment, payment.id).status = "failed"
        clock.now = max(clock(), order.expires_at)

        def settle(payment=payment) -> str:
            with database.transaction() as session:
                return pay(session, payment, clock())

        def end(order=order, buyer=buyer) -> str:
            if rival == "expire":
                expire_due_orders(work)
                return "tried"
            with database.transaction() as session:
                cancel_order(session, actor_of(buyer), order.id, clock())
            return "cancelled"

        answers = tally(together([settle, end]))
        assert answers.pop("settled") == 1
        with database.reading() as session:
            status = session.get_one(Order, order.id).status
            events = session.scalars(
                select(LedgerEvent.kind)
                .where(LedgerEvent.order_id == order.id)
                .order_by(LedgerEvent.id)
            ).all()
        if rival == "expire":
            assert (status, answers) == ("paid", {"tried": 1})  # late money found the stock there
        else:
            assert (status, answers) in (
                ("paid", {"order_not_cancellable": 1}),
                ("cancelled", {"cancelled": 1}),
            )
        assert events == (["payment", "sale"] if status == "paid" else ["payment"])
        outcomes.add(status)
        assert is_sound(database, clock())
    assert outcomes <= {"paid", "cancelled"}


def test_a_callback_beside_the_answer_to_its_push_is_settled_with_its_ids(database):
    for _ in range(6):
        with database.transaction() as session:
            order = buy(session, make_buyer(session), (make_product(session), 1))
            payment = ask_to_pay(session, order, pushed=False)

        def accept(payment=payment) -> str:
            with database.transaction() as session:
                record_acceptance(session, payment.id, *push_ids(payment.id), NOW)
            return "accepted"

        def settle(payment=payment) -> str:
            with database.transaction() as session:
                return pay(session, payment)

        assert tally(together([accept, settle])) == {"accepted": 1, "settled": 1}
        with database.reading() as session:
            stored = session.get_one(Payment, payment.id)
            assert (stored.status, stored.checkout_request_id) == (
                "succeeded",
                push_ids(payment.id)[1],
            )
    assert is_sound(database)


@pytest.mark.fault("F20")
def test_a_callback_during_the_push_itself_is_settled_by_its_secret(
    app, database, work, gateway, shop
):
    _, order = shop
    payment = begin_payment(database, order, pushed=False)
    merchant_id = "7071-4170-a0e4-000000000001"

    def report(ask) -> None:
        body = callback_body(merchant_id, f"ws_CO_2211202612000000001{ask.msisdn[-9:]}")
        path = ask.callback_url.removeprefix("https://shop.example")
        assert posting(app, path, data=body)()[0] == 200

    gateway.on_push = report
    assert push_now(work, payment.id, SECRET) is None

    with database.reading() as session:
        assert session.get_one(Payment, payment.id).status == "succeeded"
        assert session.get_one(Order, order.id).status == OrderStatus.PAID
    assert is_sound(database)


@pytest.mark.parametrize("path", ["/orders", "/mpesa/stkpush"])
def test_attack_90_one_key_20_times_at_once_has_one_effect(app, database, gateway, shop, path):
    buyer, order = shop
    with database.transaction() as session:
        boots = make_product(session, stock=100)
    body = {
        "/orders": {"products": [{"product_id": boots.id, "quantity": 1}]},
        "/mpesa/stkpush": {"order_id": order.id},
    }[path]
    headers = {**sign_in(app, buyer), "Idempotency-Key": "one-and-the-same"}
    before = how_many(database, Order)

    answers = together([posting(app, path, headers, json=body)] * 20)

    made = {"/orders": 201, "/mpesa/stkpush": 202}[path]
    statuses = tally([status for status, _ in answers])
    assert statuses.pop(made) >= 1
    assert set(statuses) <= {409}
    assert len({data for status, data in answers if status == made}) == 1
    assert all(b"idempotency_in_progress" in data for status, data in answers if status == 409)
    assert how_many(database, IdempotencyKey) == 1
    assert how_many(database, Order) - before == (1 if path == "/orders" else 0)
    assert len(gateway.pushes) == (0 if path == "/orders" else 1)
    assert is_sound(database)


def test_orders_of_one_buyer_under_many_keys_never_deadlock(app, database):
    """A key's row names the buyer, whom the order then locks."""
    with database.transaction() as session:
        boots = make_product(session, stock=100)
        buyer = make_buyer(session)
    headers = sign_in(app, buyer)
    body = {"products": [{"product_id": boots.id, "quantity": 1}]}

    answers = together(
        [
            posting(app, "/orders", {**headers, "Idempotency-Key": f"key {at}"}, json=body)
            for at in range(16)
        ]
    )

    assert tally([status for status, _ in answers]) == {201: 16}
    assert is_sound(database)


@pytest.mark.fault("F52")
def test_two_workers_query_each_due_payment_once(database, work, gateway, clock):
    with database.transaction() as session:
        boots = make_product(session, stock=60)
        payments = [
            ask_to_pay(session, buy(session, make_buyer(session), (boots, 1))) for _ in range(30)
        ]
    clock.advance(seconds=31)

    together([lambda: check_due_payments(work)] * 3)

    assert sorted(gateway.queries) == sorted(push_ids(payment.id)[1] for payment in payments)
    assert is_sound(database, clock())


def test_the_first_queries_of_all_workers_have_a_moment_each(database):
    def reserve():
        with database.transaction() as session:
            return reserve_query_slot(session, NOW, 10, SHORT)

    slots = together([reserve] * 16)

    assert sorted(slots) == [(NOW + timedelta(milliseconds=100) * at, True) for at in range(16)]


def test_a_matter_that_many_come_upon_at_once_is_filed_once(database, work, gateway):
    with database.transaction() as session:
        boots = make_product(session, stock=20)
        payments = [
            ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)), pushed=False)
            for _ in range(12)
        ]
    gateway.push_error = MpesaMisconfigured("Wrong credentials", code="400.008.01")

    answers = together(
        [lambda payment=payment: push_now(work, payment.id, SECRET) for payment in payments]
    )

    assert answers == [gateway.push_error] * 12
    assert how_many(database, Task) == 1
    assert how_many(database, Payment, Payment.status == "failed") == 12
    assert is_sound(database)


def test_a_refusal_beside_a_callback_never_deadlocks(database):
    """The refusal has its payment and files a task that names the order; the callback has the
    order and wants the payment.
    """
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        payment = ask_to_pay(session, order, pushed=False)
    has_payment, has_order = Event(), Event()

    def refuse() -> str:
        with database.transaction() as session:
            record_refusal(
                session, payment.id, code="1", message="no", customer_message=None, now=NOW
            )
            has_payment.set()
            assert has_order.wait(5)
            report_misconfiguration(session, payment.id, "1", "no", NOW)
        return "refused"

    def settle() -> str:
        assert has_payment.wait(5)
        with database.transaction() as session:
            lock_order(session, order.id)
            has_order.set()
            return pay(session, payment)

    assert tally(together([refuse, settle])) == {"refused": 1, "settled": 1}
    assert is_sound(database)
