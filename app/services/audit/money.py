"""The invariants of money: I1, I2, I5 and I6."""

from collections.abc import Iterator

from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    Refund,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.audit.finding import Finding

_MONEY_STATES = (PaymentState.SUCCEEDED, PaymentState.REFUNDED)


_PAID_STATES = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED)


_BOOKS_PAYMENTS = (LedgerEventKind.PAYMENT, LedgerEventKind.CORRECTION)


_TELLS_OF_MONEY = (
    TaskKind.LATE_MONEY,
    TaskKind.DOUBLE_PAYMENT,
    TaskKind.OVER_PAYMENT,
    TaskKind.REFUND_FAILED,
    TaskKind.UNKNOWN_REFUND,
)
"""The tasks that tell a person of money which is to go back."""


def find_unbalanced_events(session: Session) -> Iterator[Finding]:
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


def find_payments_beside_the_ledger(session: Session) -> Iterator[Finding]:
    succeeded = (
        select(Payment.order_id, func.sum(Payment.amount_cents).label("cents"))
        .where(Payment.status.in_(_MONEY_STATES))
        .group_by(Payment.order_id)
        .subquery()
    )
    booked = (
        select(LedgerEntry.order_id, func.sum(LedgerEntry.amount_cents).label("cents"))
        .join(LedgerEvent, LedgerEvent.id == LedgerEntry.event_id)
        .where(LedgerEntry.account == Account.MPESA, LedgerEvent.kind.in_(_BOOKS_PAYMENTS))
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


def find_receipts_counted_twice(session: Session) -> Iterator[Finding]:
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


def find_uncovered_orders(session: Session) -> Iterator[Finding]:
    sold = (
        select(
            LedgerEntry.order_id,
            func.sum(
                case((LedgerEntry.account == Account.MPESA, LedgerEntry.amount_cents), else_=0)
            ).label("mpesa"),
            func.sum(
                case((LedgerEntry.account == Account.SALES, -LedgerEntry.amount_cents), else_=0)
            ).label("sales"),
            func.sum(
                case((LedgerEntry.account == Account.REFUNDS, LedgerEntry.amount_cents), else_=0)
            ).label("refunds"),
            func.sum(
                case((LedgerEntry.account == Account.LOSSES, LedgerEntry.amount_cents), else_=0)
            ).label("losses"),
        )
        .group_by(LedgerEntry.order_id)
        .subquery()
    )
    mpesa, sales = func.coalesce(sold.c.mpesa, 0), func.coalesce(sold.c.sales, 0)
    refunds, losses = func.coalesce(sold.c.refunds, 0), func.coalesce(sold.c.losses, 0)
    is_refunded = Order.status == OrderStatus.REFUNDED
    is_paid = Order.status.in_(_PAID_STATES)
    for row in session.execute(
        select(
            Order.id,
            Order.status,
            Order.total_cents,
            mpesa.label("mpesa"),
            sales.label("sales"),
            refunds.label("refunds"),
        )
        .outerjoin(sold, sold.c.order_id == Order.id)
        .where(
            or_(
                and_(is_paid, mpesa + refunds + losses < Order.total_cents),
                and_(is_paid | is_refunded, sales != Order.total_cents),
                and_(is_paid, refunds >= Order.total_cents),
                and_(is_refunded, refunds != Order.total_cents),
                and_(~is_paid, ~is_refunded, or_(sales != 0, refunds != 0)),
            )
        )
        .order_by(Order.id)
    ):
        yield Finding(
            "I5",
            f"order {row.id}",
            f"is {row.status} with a total of {row.total_cents} cents, but its ledger shows"
            f" {row.mpesa} received and {row.sales} sold"
            + (f", of which {row.refunds} were given back" if row.refunds else ""),
        )


def find_unbalanced_goods(session: Session) -> Iterator[Finding]:
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


def find_forgotten_money(session: Session) -> Iterator[Finding]:
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
            ~exists().where(
                Task.order_id == Order.id,
                Task.kind.in_(_TELLS_OF_MONEY),
                Task.status != TaskStatus.DONE,
            ),
            ~exists().where(Refund.order_id == Order.id, Refund.state.in_(LIVE_REFUNDS)),
        )
        .order_by(Order.id, due.c.account)
    ):
        yield Finding(
            "I6",
            f"order {row.id}",
            f"is {row.status}, owes {-row.cents} cents as {row.account}, and has no task",
        )
