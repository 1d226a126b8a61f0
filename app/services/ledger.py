"""The books. Each function writes one event whose entries add up to zero; nothing rewrites them."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import Account, LedgerEntry, LedgerEvent, LedgerEventKind, Order, Payment


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


def book_sale(session: Session, order: Order, paid_cents: int, now: datetime) -> None:
    """The order is covered: what we owed in goods is earned, the rounded-up cents apart."""
    rounding = paid_cents - order.total_cents
    entries = {Account.CUSTOMER: paid_cents, Account.SALES: -order.total_cents}
    if rounding:
        entries[Account.ROUNDING] = -rounding
    _book(
        session,
        LedgerEvent(
            kind=LedgerEventKind.SALE,
            reference=f"order:{order.id}",
            order_id=order.id,
            created_at=now,
        ),
        entries,
    )


def _book(session: Session, event: LedgerEvent, entries: dict[Account, int]) -> None:
    if sum(entries.values()) != 0:
        raise RuntimeError(f"{event.kind} {event.reference} does not add up to zero: {entries}")
    session.add(event)
    session.flush()
    session.add_all(
        LedgerEntry(
            event_id=event.id,
            order_id=event.order_id,
            account=account,
            amount_cents=cents,
            created_at=event.created_at,
        )
        for account, cents in entries.items()
    )
    session.flush()
