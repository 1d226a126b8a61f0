"""The invariants of money and stock, each looked for row by row in the database as it stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, and_, case, cast, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    Account,
    InboxMessage,
    LedgerEntry,
    LedgerEvent,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    Product,
    Reservation,
    ReservationState,
    StockMovement,
    Task,
    TaskKind,
)

INVARIANTS = {
    "I1": "every ledger event adds up to zero, and the payments that succeeded equal the ledger",
    "I2": "no receipt counts twice",
    "I3": "on_hand >= reserved >= 0, and reserved equals the active reservations",
    "I4": "stock movements add up to what is on hand and reserved",
    "I5": "an order is paid only if its ledger covers it",
    "I6": "no expired or cancelled order has money without a task for a person",
    "I7": "no payment stays open beyond its deadline without a task",
    "I8": "no message waits in the inbox for over a minute without a person being told",
}
_MONEY_STATES = (PaymentState.SUCCEEDED, PaymentState.REFUNDED)
_PAID_STATES = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED)
_TELLS_OF_MONEY = (TaskKind.LATE_MONEY, TaskKind.DOUBLE_PAYMENT)
"""The tasks that tell a person of money which is to go back."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that breaks an invariant."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """How long a payment may stay open without a person being told."""

    open_payment_seconds: float = 86_400 + 3_600
    inbox_seconds: float = 60


def audit(session: Session, now: datetime, limits: AuditLimits | None = None) -> list[Finding]:
    """Every finding, or an empty list when all invariants hold. Changes nothing."""
    limits = limits or AuditLimits()
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _unbalanced_events(session),
        lambda: _payments_beside_the_ledger(session),
        lambda: _receipts_counted_twice(session),
        lambda: _wrong_reservations(session),
        lambda: _wrong_movements(session),
        lambda: _uncovered_orders(session),
        lambda: _unbalanced_goods(session),
        lambda: _forgotten_money(session),
        lambda: _forgotten_payments(session, now, limits),
        lambda: _forgotten_messages(session, now, limits),
    ]
    return [finding for check in checks for finding in check()]


def _unbalanced_events(session: Session) -> Iterator[Finding]:
    total = func.coalesce(func.sum(LedgerEntry.amount_cents), 0)
    for row in session.execute(
        select(LedgerEvent.id, total.label("cents"), func.count(LedgerEntry.id).label("entries"))
        .outerjoin(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
        .group_by(LedgerEvent.id)
        .having(or_(total != 0, func.count(LedgerEntry.id) < 2))  # noqa: PLR2004 - two sides
        .order_by(LedgerEvent.id)
    ):
        yield Finding(
            "I1", f"ledger event {row.id}", f"{row.entries} entries add up to {row.cents} cents"
        )


def _payments_beside_the_ledger(session: Session) -> Iterator[Finding]:
    succeeded = (
        select(Payment.order_id, func.sum(Payment.amount_cents).label("cents"))
        .where(Payment.status.in_(_MONEY_STATES))
        .group_by(Payment.order_id)
        .subquery()
    )
    booked = (
        select(LedgerEntry.order_id, func.sum(LedgerEntry.amount_cents).label("cents"))
        .join(LedgerEvent, LedgerEvent.id == LedgerEntry.event_id)
        .where(LedgerEntry.account == Account.MPESA, LedgerEvent.kind == "payment")
        .group_by(LedgerEntry.order_id)
        .subquery()
    )
    paid = func.coalesce(succeeded.c.cents, 0)
    held = func.coalesce(booked.c.cents, 0)
    for row in session.execute(
        select(Order.id, paid.label("paid"), held.label("held"))
        .outerjoin(succeeded, succeeded.c.order_id == Order.id)
        .outerjoin(booked, booked.c.order_id == Order.id)
        .where(paid != held)
        .order_by(Order.id)
    ):
        yield Finding(
            "I1",
            f"order {row.id}",
            f"its payments say {row.paid} cents, its ledger says {row.held}",
        )


def _receipts_counted_twice(session: Session) -> Iterator[Finding]:
    for row in session.execute(
        select(func.count().label("times"), Payment.mpesa_receipt)
        .where(Payment.mpesa_receipt.is_not(None))
        .group_by(Payment.mpesa_receipt)
        .having(func.count() > 1)
    ):
        yield Finding("I2", f"receipt {row.mpesa_receipt}", f"stands on {row.times} payments")
    for row in session.execute(
        select(Payment.id, Payment.mpesa_receipt)
        .outerjoin(MpesaReceipt, MpesaReceipt.receipt == Payment.mpesa_receipt)
        .where(
            Payment.mpesa_receipt.is_not(None),
            or_(MpesaReceipt.receipt.is_(None), MpesaReceipt.payment_id != Payment.id),
        )
        .order_by(Payment.id)
    ):
        yield Finding(
            "I2", f"payment {row.id}", f"receipt {row.mpesa_receipt} is not registered as its own"
        )


def _wrong_reservations(session: Session) -> Iterator[Finding]:
    active = (
        select(Reservation.product_id, func.sum(Reservation.quantity).label("units"))
        .where(Reservation.state == ReservationState.ACTIVE)
        .group_by(Reservation.product_id)
        .subquery()
    )
    held = func.coalesce(active.c.units, 0)
    for row in session.execute(
        select(Product.id, Product.on_hand, Product.reserved, held.label("held"))
        .outerjoin(active, active.c.product_id == Product.id)
        .where(
            or_(
                Product.reserved != held,
                Product.reserved < 0,
                Product.on_hand < Product.reserved,
            )
        )
        .order_by(Product.id)
    ):
        yield Finding(
            "I3",
            f"product {row.id}",
            f"on_hand {row.on_hand}, reserved {row.reserved}, active reservations {row.held}",
        )
    yield from _reservations_of_ended_orders(session)


def _reservations_of_ended_orders(session: Session) -> Iterator[Finding]:
    """An order that awaits money holds its stock; one that has ended holds none."""
    wrong = or_(
        and_(Order.status == OrderStatus.PENDING, Reservation.state != ReservationState.ACTIVE),
        and_(Order.status != OrderStatus.PENDING, Reservation.state == ReservationState.ACTIVE),
    )
    for row in session.execute(
        select(Order.id, Order.status, Reservation.product_id, Reservation.state)
        .join(Reservation, Reservation.order_id == Order.id)
        .where(wrong)
        .order_by(Order.id, Reservation.product_id)
    ):
        yield Finding(
            "I3",
            f"order {row.id}",
            f"is {row.status} while its reservation of product {row.product_id} is {row.state}",
        )


def _wrong_movements(session: Session) -> Iterator[Finding]:
    moved = select(
        StockMovement.product_id,
        func.sum(StockMovement.on_hand_delta).label("on_hand"),
        func.sum(StockMovement.reserved_delta).label("reserved"),
    ).group_by(StockMovement.product_id)
    sums = moved.subquery()
    on_hand = func.coalesce(sums.c.on_hand, 0)
    reserved = func.coalesce(sums.c.reserved, 0)
    for row in session.execute(
        select(
            Product.id,
            Product.on_hand,
            Product.reserved,
            on_hand.label("moved_on_hand"),
            reserved.label("moved_reserved"),
        )
        .outerjoin(sums, sums.c.product_id == Product.id)
        .where(or_(Product.on_hand != on_hand, Product.reserved != reserved))
        .order_by(Product.id)
    ):
        yield Finding(
            "I4",
            f"product {row.id}",
            f"on_hand {row.on_hand} and reserved {row.reserved}, but its movements add up to"
            f" {row.moved_on_hand} and {row.moved_reserved}",
        )


def _uncovered_orders(session: Session) -> Iterator[Finding]:
    sold = (
        select(
            LedgerEntry.order_id,
            func.sum(
                case((LedgerEntry.account == Account.MPESA, LedgerEntry.amount_cents), else_=0)
            ).label("mpesa"),
            func.sum(
                case((LedgerEntry.account == Account.SALES, -LedgerEntry.amount_cents), else_=0)
            ).label("sales"),
        )
        .group_by(LedgerEntry.order_id)
        .subquery()
    )
    mpesa, sales = func.coalesce(sold.c.mpesa, 0), func.coalesce(sold.c.sales, 0)
    is_paid = Order.status.in_(_PAID_STATES)
    for row in session.execute(
        select(
            Order.id, Order.status, Order.total_cents, mpesa.label("mpesa"), sales.label("sales")
        )
        .outerjoin(sold, sold.c.order_id == Order.id)
        .where(
            or_(
                and_(is_paid, or_(mpesa < Order.total_cents, sales != Order.total_cents)),
                and_(~is_paid, Order.status != OrderStatus.REFUNDED, sales != 0),
            )
        )
        .order_by(Order.id)
    ):
        yield Finding(
            "I5",
            f"order {row.id}",
            f"is {row.status} with a total of {row.total_cents} cents, but its ledger shows"
            f" {row.mpesa} received and {row.sales} sold",
        )


def _unbalanced_goods(session: Session) -> Iterator[Finding]:
    """What was paid for goods is earned in full once they are sold."""
    cents = func.sum(LedgerEntry.amount_cents)
    for row in session.execute(
        select(Order.id, Order.status, cents.label("cents"))
        .join(LedgerEntry, LedgerEntry.order_id == Order.id)
        .where(Order.status.in_(_PAID_STATES), LedgerEntry.account == Account.CUSTOMER)
        .group_by(Order.id, Order.status)
        .having(cents != 0)
        .order_by(Order.id)
    ):
        yield Finding(
            "I5",
            f"order {row.id}",
            f"is {row.status}, but {row.cents} cents of goods do not balance",
        )


def _forgotten_money(session: Session) -> Iterator[Finding]:
    due = (
        select(
            LedgerEntry.order_id,
            LedgerEntry.account,
            func.sum(LedgerEntry.amount_cents).label("cents"),
        )
        .where(LedgerEntry.account.in_([Account.REFUNDS_DUE, Account.CUSTOMER]))
        .group_by(LedgerEntry.order_id, LedgerEntry.account)
        .having(func.sum(LedgerEntry.amount_cents) < 0)
        .subquery()
    )
    for row in session.execute(
        select(Order.id, Order.status, due.c.account, due.c.cents)
        .join(due, due.c.order_id == Order.id)
        .where(
            Order.status != OrderStatus.PENDING,
            ~exists().where(Task.order_id == Order.id, Task.kind.in_(_TELLS_OF_MONEY)),
        )
        .order_by(Order.id, due.c.account)
    ):
        yield Finding(
            "I6",
            f"order {row.id}",
            f"is {row.status}, owes {-row.cents} cents as {row.account}, and has no task",
        )


def _forgotten_payments(session: Session, now: datetime, limits: AuditLimits) -> Iterator[Finding]:
    deadline = now - timedelta(seconds=limits.open_payment_seconds)
    for row in session.execute(
        select(Payment.id, Payment.status, Payment.created_at)
        .where(
            Payment.status.in_(LIVE_STATES),
            or_(
                Payment.created_at < deadline,
                Payment.next_check_at.is_(None),
            ),
            ~exists().where(Task.payment_id == Payment.id),
        )
        .order_by(Payment.id)
    ):
        yield Finding(
            "I7", f"payment {row.id}", f"{row.status} since {row.created_at:%Y-%m-%d %H:%M} UTC"
        )


def _forgotten_messages(session: Session, now: datetime, limits: AuditLimits) -> Iterator[Finding]:
    deadline = now - timedelta(seconds=limits.inbox_seconds)
    stuck_key = literal("stuck_message:") + cast(InboxMessage.id, String)
    for row in session.execute(
        select(InboxMessage.id, InboxMessage.received_at)
        .where(
            InboxMessage.processed_at.is_(None),
            InboxMessage.received_at < deadline,
            ~exists().where(Task.dedupe_key == stuck_key),
        )
        .order_by(InboxMessage.id)
    ):
        yield Finding(
            "I8", f"inbox message {row.id}", f"waits since {row.received_at:%Y-%m-%d %H:%M:%S} UTC"
        )
