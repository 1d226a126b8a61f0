"""The books. Each function writes one event whose entries add up to zero; nothing rewrites them."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session

from app.asking import Prepared, PreparedRows
from app.models import (
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaReceipt,
    Order,
    Payment,
    Refund,
)
from app.models.base import table_of
from app.utils.money import CENTS_PER_SHILLING, whole_shillings

_EVENT = ("kind", "reference", "order_id", "payment_id", "created_at")
_WRITE_EVENT = Prepared(
    insert(table_of(LedgerEvent))
    .values({column: bindparam(column) for column in _EVENT})
    .returning(table_of(LedgerEvent).c.id)
)
_WRITE_ENTRIES = PreparedRows(
    table_of(LedgerEntry), "event_id", "order_id", "account", "amount_cents", "created_at"
)


def book_payment(session: Session, payment: Payment, owed_as: Account, now: datetime) -> None:
    """Money came in: we hold it, and owe it as ``CUSTOMER`` (goods) or as ``REFUNDS_DUE``."""
    _book(
        session,
        LedgerEvent(
            kind=LedgerEventKind.PAYMENT,
            reference=f"payment:{payment.id}",
            order_id=payment.order_id,
            payment_id=payment.id,
            created_at=now,
        ),
        {Account.MPESA: payment.amount_cents, owed_as: -payment.amount_cents},
    )


def book_sale(session: Session, order: Order, paid_cents: int, now: datetime) -> int:
    """The order is covered: what we owed in goods is earned, the rounded-up cents apart.

    What was paid beyond that is owed as a refund; answers how much that is, in cents.
    """
    excess = excess_of(order.total_cents, paid_cents)
    entries = {
        Account.CUSTOMER: paid_cents,
        Account.SALES: -order.total_cents,
        Account.ROUNDING: order.total_cents + excess - paid_cents,
        Account.REFUNDS_DUE: -excess,
    }
    event = _order_event(LedgerEventKind.SALE, order, now)
    _book(session, event, {account: cents for account, cents in entries.items() if cents})
    return excess


def excess_of(total_cents: int, paid_cents: int) -> int:
    """What is too much for a price that is covered: the cents of the last shilling are not."""
    return max(0, paid_cents - whole_shillings(total_cents) * CENTS_PER_SHILLING)


def book_set_aside(session: Session, order: Order, cents: int, now: datetime) -> None:
    """The order will not be had: what was paid for it so far is to go back."""
    _book(
        session,
        _order_event(LedgerEventKind.SET_ASIDE, order, now),
        {Account.CUSTOMER: cents, Account.REFUNDS_DUE: -cents},
    )


def book_reclaim(session: Session, order: Order, cents: int, now: datetime) -> None:
    """The rest came late, and the order can be had after all: what was set aside buys it."""
    _book(
        session,
        _order_event(LedgerEventKind.RECLAIM, order, now),
        {Account.REFUNDS_DUE: cents, Account.CUSTOMER: -cents},
    )


def book_unmatched(session: Session, receipt: MpesaReceipt, now: datetime) -> None:
    """Money came in, and nobody knows what for."""
    _book(
        session,
        _receipt_event(LedgerEventKind.UNMATCHED, receipt, now),
        {Account.MPESA: receipt.amount_cents, Account.UNMATCHED: -receipt.amount_cents},
    )


def book_matched(session: Session, receipt: MpesaReceipt, now: datetime) -> None:
    """Its order is found, and is about to book it as a payment of its own."""
    _book(
        session,
        _receipt_event(LedgerEventKind.MATCHED, receipt, now),
        {Account.UNMATCHED: receipt.amount_cents, Account.MPESA: -receipt.amount_cents},
    )


def book_dismissed(session: Session, receipt: MpesaReceipt, now: datetime) -> None:
    """A person found that the money is no business of the shop."""
    _book(
        session,
        _receipt_event(LedgerEventKind.DISMISSED, receipt, now),
        {Account.UNMATCHED: receipt.amount_cents, Account.OUTSIDE: -receipt.amount_cents},
    )


def book_undismissed(session: Session, receipt: MpesaReceipt, now: datetime) -> None:
    """It was business of the shop after all, and its order is about to book it."""
    _book(
        session,
        _receipt_event(LedgerEventKind.CORRECTION, receipt, now),
        {Account.OUTSIDE: receipt.amount_cents, Account.MPESA: -receipt.amount_cents},
    )


def book_correction(
    session: Session, payment: Payment, entries: Mapping[Account, int], task_id: int, now: datetime
) -> None:
    """What was booked of this payment was not so. A task is decided once, and so corrects once."""
    event = LedgerEvent(
        kind=LedgerEventKind.CORRECTION,
        reference=f"task:{task_id}",
        order_id=payment.order_id,
        payment_id=payment.id,
        created_at=now,
    )
    _book(session, event, entries)


def book_refund(
    session: Session, refund: Refund, taken_from: Mapping[Account, int], now: datetime
) -> None:
    """Money went back: ``taken_from`` says which debts it pays, in cents above zero."""
    event = LedgerEvent(
        kind=LedgerEventKind.REFUND,
        reference=f"refund:{refund.id}",
        order_id=refund.order_id,
        payment_id=refund.payment_id,
        created_at=now,
    )
    _book(session, event, {**taken_from, Account.MPESA: -refund.amount_cents})


def balances_of(session: Session, order_id: int) -> dict[Account, int]:
    """Every account of one order, in cents: what we owe stands below zero."""
    rows = session.execute(
        select(LedgerEntry.account, func.sum(LedgerEntry.amount_cents))
        .where(LedgerEntry.order_id == order_id)
        .group_by(LedgerEntry.account)
    )
    found = {Account(row[0]): int(row[1]) for row in rows}
    return {account: found.get(account, 0) for account in Account}


def _order_event(kind: LedgerEventKind, order: Order, now: datetime) -> LedgerEvent:
    """An event that an order has once."""
    return LedgerEvent(kind=kind, reference=f"order:{order.id}", order_id=order.id, created_at=now)


def _receipt_event(kind: LedgerEventKind, receipt: MpesaReceipt, now: datetime) -> LedgerEvent:
    """An event of money that has no order; a receipt has it once."""
    return LedgerEvent(kind=kind, reference=f"receipt:{receipt.receipt}", created_at=now)


def _book(session: Session, event: LedgerEvent, entries: Mapping[Account, int]) -> None:
    if sum(entries.values()) != 0:
        raise RuntimeError(f"{event.kind} {event.reference} does not add up to zero: {entries}")
    values = {column: getattr(event, column) for column in _EVENT}
    ((event_id,),) = _WRITE_EVENT.rows(session, **values)
    _WRITE_ENTRIES.put(
        session,
        [
            {
                "event_id": event_id,
                "order_id": event.order_id,
                "account": account,
                "amount_cents": cents,
                "created_at": event.created_at,
            }
            for account, cents in entries.items()
        ],
    )
