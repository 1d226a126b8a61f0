"""A small shop for the tests of orders, stock and money: one line for each step of a sale."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import AppError
from app.models import (
    Account,
    Base,
    LedgerEntry,
    LedgerEvent,
    Order,
    OrderEvent,
    Payment,
    PaymentEvent,
    Product,
    Reservation,
    StockMovement,
    Task,
    User,
)
from app.policies import Role
from app.services.apply_callback import CallbackClaim, apply_callback
from app.services.audit import audit
from app.services.due_payments import CheckSchedule
from app.services.payment_evidence import Failure
from app.services.place_order import OrderRequest, OrderRules, WantedLine, place_order
from app.services.record_push import record_acceptance
from app.services.request_payment import PaymentRequest, PaymentRules, request_payment
from app.utils.callback_secret import CallbackSecret
from tests.factories import NOW, actor_of, make_user

ORDER_RULES = OrderRules(expiry_seconds=900, max_open_orders=20, max_amount_shillings=250_000)
PAYMENT_RULES = PaymentRules(
    max_amount_shillings=250_000,
    prompts_per_phone_10_minutes=3,
    prompts_per_phone_day=10,
    first_check_seconds=30,
)
SCHEDULE = CheckSchedule(
    check_seconds=(30, 45, 60, 90, 120, 180, 300, 900),
    unknown_after_seconds=180,
    no_answer_after_seconds=900,
    give_up_after_seconds=86_400,
)
SECRET = CallbackSecret("a-secret-that-only-safaricom-was-given")

Snapshot = dict[str, list]
_ALL_ROWS = {
    table.name: select(table).order_by(*table.primary_key.columns)
    for table in Base.metadata.sorted_tables
}


def after(**by: float) -> datetime:
    """A moment so long after NOW."""
    return NOW + timedelta(**by)


def snapshot(session: Session) -> Snapshot:
    """Every column of every row of every table: equal before and after, nothing changed."""
    session.flush()
    connection = session.connection()
    return {name: connection.execute(rows).fetchall() for name, rows in _ALL_ROWS.items()}


def database_snapshot(database) -> Snapshot:
    with database.reading() as session:
        return snapshot(session)


def differing_tables(before: Snapshot, now: Snapshot) -> set[str]:
    return {name for name in before if before[name] != now[name]}


@contextmanager
def refused(session: Session, kind: type[AppError], code: str) -> Iterator[pytest.ExceptionInfo]:
    """What is done inside is refused with this code, and leaves every table as it was."""
    before = snapshot(session)
    with pytest.raises(kind) as caught, session.begin_nested():
        yield caught
    assert caught.value.code == code
    assert snapshot(session) == before


@contextmanager
def thrown_away(session: Session) -> Iterator[None]:
    """What is done inside is undone at the end: the next case of a table starts where this did."""
    with session.begin_nested() as point:
        yield
        session.flush()
        point.rollback()


def make_buyer(session: Session, **fields) -> User:
    return make_user(session, Role.CUSTOMER, **fields)


def wanted(*lines: tuple[Product | int, int], **fields) -> OrderRequest:
    """``wanted((boots, 2), (socks, 1))``."""
    return OrderRequest(
        lines=tuple(
            WantedLine(product if isinstance(product, int) else product.id, quantity)
            for product, quantity in lines
        ),
        **fields,
    )


def buy(
    session: Session,
    buyer: User,
    *lines: tuple[Product, int],
    now: datetime = NOW,
    rules: OrderRules = ORDER_RULES,
    **fields,
) -> Order:
    return place_order(session, actor_of(buyer), wanted(*lines, **fields), rules, now)


def ask_to_pay(
    session: Session,
    order: Order,
    now: datetime = NOW,
    *,
    msisdn: str | None = None,
    pushed: bool = True,
    rules: PaymentRules = PAYMENT_RULES,
) -> Payment:
    """A payment on record, whose prompt is out unless ``pushed`` is False."""
    buyer = session.get_one(User, order.user_id)
    payment = request_payment(
        session, actor_of(buyer), PaymentRequest(order.id, msisdn), SECRET, rules, now
    )
    if pushed:
        record_acceptance(session, payment.id, *push_ids(payment.id), now)
        session.refresh(payment)
    return payment


def push_ids(payment_id: int) -> tuple[str, str]:
    return f"7071-4170-a0e4-{payment_id}", f"ws_CO_{payment_id}"


def receipt_of(payment_id: int) -> str:
    return f"UKM{payment_id:07d}"


def paid_claim(payment: Payment, **fields) -> CallbackClaim:
    """What an honest callback says of a payment that went through."""
    merchant_id, checkout_id = push_ids(payment.id)
    return CallbackClaim(
        **{
            "merchant_request_id": merchant_id,
            "checkout_request_id": checkout_id,
            "result_code": "0",
            "result_desc": "The service request is processed successfully.",
            "amount_cents": payment.amount_cents,
            "receipt": receipt_of(payment.id),
            "failure": None,
            **fields,
        }
    )


def failed_claim(payment: Payment, failure: Failure, **fields) -> CallbackClaim:
    return paid_claim(
        payment,
        **{
            "result_code": failure.result_code,
            "result_desc": failure.result_desc,
            "amount_cents": None,
            "receipt": None,
            "failure": failure,
            **fields,
        },
    )


def pay(session: Session, payment: Payment, now: datetime = NOW, **fields) -> str:
    """The callback says paid; answers what became of it."""
    return str(apply_callback(session, payment.id, paid_claim(payment, **fields), now))


def is_clean(session: Session, now: datetime = NOW) -> bool:
    """Assert that every invariant of money and stock holds."""
    session.flush()
    assert audit(session, now) == []
    return True


def counts(session: Session, product: Product) -> tuple[int, int]:
    """(on_hand, reserved) as the database has them."""
    row = session.execute(
        select(Product.on_hand, Product.reserved).where(Product.id == product.id)
    ).one()
    return tuple(row)


def moves(session: Session, order: Order) -> list[tuple]:
    """(kind, product, on_hand, reserved) of an order's stock movements."""
    return [
        tuple(row)
        for row in session.execute(
            select(
                StockMovement.kind,
                StockMovement.product_id,
                StockMovement.on_hand_delta,
                StockMovement.reserved_delta,
            )
            .where(StockMovement.order_id == order.id)
            .order_by(StockMovement.id)
        )
    ]


def reservations(session: Session, order: Order) -> list[tuple]:
    return [
        tuple(row)
        for row in session.execute(
            select(Reservation.product_id, Reservation.quantity, Reservation.state)
            .where(Reservation.order_id == order.id)
            .order_by(Reservation.product_id)
        )
    ]


def order_steps(session: Session, order: Order) -> list[tuple]:
    return [
        tuple(row)
        for row in session.execute(
            select(
                OrderEvent.from_status,
                OrderEvent.to_status,
                OrderEvent.actor_id,
                OrderEvent.reason,
            )
            .where(OrderEvent.order_id == order.id)
            .order_by(OrderEvent.id)
        )
    ]


def payment_steps(session: Session, payment: Payment) -> list[tuple]:
    """(from, to, source) of a payment's history."""
    return [
        tuple(row)
        for row in session.execute(
            select(PaymentEvent.from_status, PaymentEvent.to_status, PaymentEvent.source)
            .where(PaymentEvent.payment_id == payment.id)
            .order_by(PaymentEvent.id)
        )
    ]


def books(session: Session, order: Order) -> list[tuple[str, Account, int]]:
    """(event kind, account, cents) of an order's ledger entries, oldest first."""
    return [
        tuple(row)
        for row in session.execute(
            select(LedgerEvent.kind, LedgerEntry.account, LedgerEntry.amount_cents)
            .join(LedgerEvent, LedgerEvent.id == LedgerEntry.event_id)
            .where(LedgerEntry.order_id == order.id)
            .order_by(LedgerEntry.id)
        )
    ]


def task_kinds(session: Session) -> list[str]:
    return list(session.scalars(select(Task.kind).order_by(Task.id)))
