"""Money from the menu beside everything else that may happen to its order: it counts once."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.context import WORK
from app.jobs.check_payment import check_payment
from app.jobs.expire_orders import expire_due_orders
from app.models import LedgerEntry, MpesaReceipt, Order, Payment, ReceiptState, Task
from app.services.end_order import cancel_order
from app.services.move_order import lock_order
from app.services.receipts import find_receipt
from app.services.unmatched_money import attach_money
from app.utils.clock import EAT
from tests.core import SECRET, ask_to_pay, buy, make_buyer, push_ids
from tests.factories import actor_of, make_product, make_user
from tests.looking import is_sound, status_of
from tests.races.starting_line import tally, together
from tests.safaricom import callback_body, notice_body

ROUNDS = 6
CENTS = 150_000


@pytest.fixture
def work(app, database):
    work = app.extensions[WORK]
    config = replace(work.config, mpesa_queries_per_second=1000)
    app.extensions[WORK] = replace(work, database=database, config=config)
    return app.extensions[WORK]


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session)


@pytest.fixture
def new_order(database, buyer, clock) -> Callable[[], Order]:
    """Each of KES 1,500, for the last pair there is."""

    def make() -> Order:
        with database.transaction() as session:
            return buy(session, buyer, (make_product(session, stock=1), 1), now=clock())

    return make


@pytest.fixture
def post(app):
    """Posts as Safaricom does; whoever called has its answer when the message is processed."""

    def prepare(path: str, body: bytes) -> Callable[[], int]:
        return lambda: app.test_client().post(path, data=body, buffered=True).status_code

    return prepare


@pytest.fixture
def confirming(post, config, clock):
    def prepare(order: Order | None, receipt: str, **changes) -> Callable[[], int]:
        moment = f"{clock().astimezone(EAT):%Y%m%d%H%M%S}"
        told = {"receipt": receipt, "moment": moment, **changes}
        body = notice_body(order.number if order else "", **told)
        return post(f"/api/pay/c2b/confirm/{config.mpesa_c2b_secret}", body)

    return prepare


@pytest.fixture
def calling_back(post):
    def prepare(payment: Payment, receipt: str) -> Callable[[], int]:
        body = callback_body(*push_ids(payment.id), receipt=receipt)
        return post(f"/api/pay/cb/{payment.id}.{SECRET.value}", body)

    return prepare


def phone_of(order: Order) -> str:
    """One for each, as no phone is rung too often."""
    return f"254700{order.id:06d}"


def receipt_of(order: Order) -> str:
    return f"UKM{order.id:07d}"


def prompt(database, order: Order, clock) -> Payment:
    with database.transaction() as session:
        return ask_to_pay(session, order, clock(), msisdn=phone_of(order))


def balance(database, order: Order, account: str = "mpesa") -> int:
    with database.reading() as session:
        total = select(func.sum(LedgerEntry.amount_cents)).where(
            LedgerEntry.order_id == order.id, LedgerEntry.account == account
        )
        return int(session.scalar(total) or 0)


def held_cents(database) -> int:
    with database.reading() as session:
        total = select(func.sum(LedgerEntry.amount_cents))
        return int(session.scalar(total.where(LedgerEntry.account == "mpesa")) or 0)


def states_of(database, receipt: str) -> list[str]:
    with database.reading() as session:
        return list(
            session.scalars(select(MpesaReceipt.state).where(MpesaReceipt.receipt == receipt))
        )


def open_tasks(database) -> list[str]:
    with database.reading() as session:
        undone = select(Task.kind).where(Task.status != "done").order_by(Task.id)
        return list(session.scalars(undone))


def test_a_confirmation_a_callback_and_a_query_of_one_prompt_count_it_once(
    database, work, clock, gateway, new_order, confirming, calling_back
):
    for _ in range(ROUNDS):
        order = new_order()
        payment = prompt(database, order, clock)
        receipt = receipt_of(order)
        gateway.says(push_ids(payment.id)[1], "0")
        clock.advance(seconds=31)

        def query(payment=payment) -> int:
            check_payment(work, payment.id)
            return 200

        phone = phone_of(order)
        news = [confirming(order, receipt, phone=phone), calling_back(payment, receipt), query]
        assert tally(together([*news, *news])) == {200: 6}
        assert (status_of(database, order), balance(database, order)) == ("paid", CENTS)
        assert states_of(database, receipt) == ["matched"]
        with database.reading() as session:
            stored = session.get_one(Payment, payment.id)
            assert (stored.status, stored.mpesa_receipt) == ("succeeded", receipt)
        assert open_tasks(database) == []
        assert is_sound(database, clock())


@pytest.mark.parametrize("names_an_order", [True, False])
def test_confirmations_of_one_receipt_at_once_count_it_once(
    database, work, new_order, confirming, names_an_order
):
    for number in range(ROUNDS):
        order = new_order() if names_an_order else None
        receipt = f"UKN{number:07d}"
        assert tally(together([confirming(order, receipt)] * 6)) == {200: 6}
        assert states_of(database, receipt) == ["matched" if order else "unmatched"]
        assert held_cents(database) == CENTS * (number + 1)
        assert order is None or status_of(database, order) == "paid"
    assert open_tasks(database) == ([] if names_an_order else ["unmatched_money"] * ROUNDS)
    assert is_sound(database)


@pytest.mark.parametrize("rival", ["cancel", "expire"])
def test_an_order_that_ends_while_its_money_comes_ends_one_way(
    database, work, clock, buyer, new_order, confirming, rival
):
    for _ in range(ROUNDS):
        order = new_order()
        clock.now = max(clock(), order.expires_at)

        def end(order=order) -> str:
            if rival == "expire":
                expire_due_orders(work)
            else:
                with database.transaction() as session:
                    cancel_order(session, actor_of(buyer), order.id, clock())
            return "ended"

        answers = tally(together([confirming(order, receipt_of(order)), end]))
        assert answers.pop(200) == 1
        status = status_of(database, order)
        assert balance(database, order) == CENTS
        assert states_of(database, receipt_of(order)) == ["matched"]
        if rival == "expire":  # late money finds the stock still there
            assert (status, answers) == ("paid", {"ended": 1})
        else:
            assert (status, answers) in (
                ("paid", {"order_not_cancellable": 1}),
                ("cancelled", {"ended": 1}),
            )
        owed = -balance(database, order, "refunds_due")
        assert owed == (CENTS if status == "cancelled" else 0)
        assert is_sound(database, clock())


def test_parts_that_come_at_once_pay_the_order_once(database, work, new_order, confirming):
    for number in range(ROUNDS):
        order = new_order()
        parts = [confirming(order, f"UK{letter}{number:07d}", amount="500.00") for letter in "PQR"]
        assert tally(together([*parts, *parts])) == {200: 6}
        assert (status_of(database, order), balance(database, order)) == ("paid", CENTS)
        assert is_sound(database)


@pytest.mark.parametrize("to_its_own_order", [True, False])
def test_a_person_attaches_what_a_late_callback_names(
    database, work, clock, new_order, confirming, calling_back, to_its_own_order
):
    with database.transaction() as session:
        admin = make_user(session, "admin")
    for _ in range(ROUNDS):
        order, other = new_order(), new_order()
        payment = prompt(database, order, clock)
        receipt = receipt_of(order)
        assert confirming(None, receipt, phone="")() == 200
        assert states_of(database, receipt) == ["unmatched"]
        chosen = order if to_its_own_order else other

        def attach(chosen=chosen, receipt=receipt) -> str:
            with database.transaction() as session:
                locked = lock_order(session, chosen.id)
                row = find_receipt(session, receipt)
                if row.state != ReceiptState.UNMATCHED:
                    return "too late"
                attach_money(session, row, locked, clock(), actor_id=admin.id)
            return "attached"

        answers = tally(together([attach, calling_back(payment, receipt)]))
        assert answers.pop(200) == 1
        assert answers in ({"attached": 1}, {"too late": 1})
        assert states_of(database, receipt) == ["matched"]
        assert balance(database, order) + balance(database, other) == CENTS
        if to_its_own_order:
            assert (status_of(database, order), open_tasks(database)) == ("paid", [])
            with database.reading() as session:
                assert session.get_one(Payment, payment.id).mpesa_receipt == receipt
        assert is_sound(database, clock())
    assert held_cents(database) == CENTS * ROUNDS


def test_at_a_till_a_confirmation_and_a_query_of_one_prompt_count_it_once(
    database, work, clock, gateway, new_order, confirming
):
    """Nobody names the order: the confirmation has to find the prompt."""
    for _ in range(ROUNDS):
        order = new_order()
        payment = prompt(database, order, clock)
        receipt = receipt_of(order)
        gateway.says(push_ids(payment.id)[1], "0")
        confirm = confirming(None, receipt, phone=phone_of(order))
        clock.advance(seconds=181)

        def query(payment=payment) -> int:
            check_payment(work, payment.id)
            return 200

        assert tally(together([confirm, query, confirm, query])) == {200: 4}
        assert (status_of(database, order), balance(database, order)) == ("paid", CENTS)
        assert states_of(database, receipt) == ["matched"]
        assert open_tasks(database) == []
        assert is_sound(database, clock())
    assert held_cents(database) == CENTS * ROUNDS
