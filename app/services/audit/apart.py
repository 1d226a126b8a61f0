"""The invariants of money that goes back, or has no order yet: parts of I1, I2, I6 and I7."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaReceipt,
    Payment,
    PaymentState,
    ReceiptState,
    Refund,
    RefundState,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.audit.finding import Finding
from app.services.audit.waiting import AuditLimits


def find_refunds_beside_the_ledger(session: Session) -> Iterator[Finding]:
    """Each refund that went through is booked once, with its amount; no other is."""
    booked = (
        select(LedgerEvent.reference, LedgerEntry.amount_cents)
        .join(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
        .where(LedgerEvent.kind == LedgerEventKind.REFUND, LedgerEntry.account == Account.MPESA)
    )
    in_books = {row.reference: -row.amount_cents for row in session.execute(booked)}
    done = select(Refund.id, Refund.amount_cents).where(Refund.state == RefundState.SUCCEEDED)
    went = {f"refund:{row.id}": row.amount_cents for row in session.execute(done)}
    for reference in sorted(in_books.keys() | went.keys()):
        if in_books.get(reference, 0) != went.get(reference, 0):
            yield Finding(
                "I1",
                reference.replace(":", " "),
                f"gave back {went.get(reference, 0)} cents, but its ledger says"
                f" {in_books.get(reference, 0)}",
            )


def find_refunds_beyond_their_money(session: Session) -> Iterator[Finding]:
    """No receipt is given back more than it brought; a payment is refunded when all of it is."""
    done = (
        select(Refund.receipt, func.sum(Refund.amount_cents).label("cents"))
        .where(Refund.state == RefundState.SUCCEEDED)
        .group_by(Refund.receipt)
        .subquery()
    )
    given = func.coalesce(done.c.cents, 0)
    for row in session.execute(
        select(MpesaReceipt.receipt, MpesaReceipt.amount_cents, given.label("given"))
        .join(done, done.c.receipt == MpesaReceipt.receipt)
        .where(given > MpesaReceipt.amount_cents)
        .order_by(MpesaReceipt.receipt)
    ):
        yield Finding(
            "I1",
            f"receipt {row.receipt}",
            f"brought {row.amount_cents} cents, and {row.given} were given back",
        )
    is_refunded = Payment.status == PaymentState.REFUNDED
    for row in session.execute(
        select(Payment.id, Payment.status, Payment.amount_cents, given.label("given"))
        .outerjoin(done, done.c.receipt == Payment.mpesa_receipt)
        .where(is_refunded != (given >= Payment.amount_cents))
        .order_by(Payment.id)
    ):
        yield Finding(
            "I1",
            f"payment {row.id}",
            f"is {row.status}, and {row.given} of its {row.amount_cents} cents were given back",
        )


def find_unmatched_beside_the_ledger(session: Session) -> Iterator[Finding]:
    """What is held for nobody knows whom is what the receipts without an order say."""
    moved: dict[str, int] = {
        row.reference.removeprefix("receipt:"): int(row.cents)
        for row in session.execute(
            select(LedgerEvent.reference, func.sum(-LedgerEntry.amount_cents).label("cents"))
            .join(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
            .where(
                LedgerEntry.account == Account.UNMATCHED,
                LedgerEvent.kind != LedgerEventKind.REFUND,
            )
            .group_by(LedgerEvent.reference)
        )
    }
    expected = {
        row.receipt: row.amount_cents
        for row in session.execute(
            select(MpesaReceipt.receipt, MpesaReceipt.amount_cents).where(
                MpesaReceipt.state.in_([ReceiptState.UNMATCHED, ReceiptState.REFUNDED])
            )
        )
    }
    for receipt in sorted(moved.keys() | expected.keys()):
        if moved.get(receipt, 0) != expected.get(receipt, 0):
            yield Finding(
                "I1",
                f"receipt {receipt}",
                f"came without an order and should stand with {expected.get(receipt, 0)} cents;"
                f" its ledger says {moved.get(receipt, 0)}",
            )


def find_receipts_beside_their_payment(session: Session) -> Iterator[Finding]:
    for row in session.execute(
        select(MpesaReceipt.receipt, MpesaReceipt.amount_cents, Payment.id.label("payment_id"))
        .join(Payment, Payment.id == MpesaReceipt.payment_id)
        .where(
            MpesaReceipt.state != ReceiptState.WRITTEN_OFF,
            or_(
                MpesaReceipt.amount_cents != Payment.amount_cents,
                Payment.mpesa_receipt.is_(None),
                Payment.mpesa_receipt != MpesaReceipt.receipt,
            ),
        )
        .order_by(MpesaReceipt.receipt)
    ):
        yield Finding(
            "I2",
            f"receipt {row.receipt}",
            f"is registered with {row.amount_cents} cents for payment {row.payment_id}, which"
            " says otherwise",
        )


def find_forgotten_unmatched_money(session: Session) -> Iterator[Finding]:
    for row in session.execute(
        select(MpesaReceipt.receipt, MpesaReceipt.amount_cents)
        .where(
            MpesaReceipt.state == ReceiptState.UNMATCHED,
            ~exists().where(
                Task.receipt == MpesaReceipt.receipt,
                Task.kind == TaskKind.UNMATCHED_MONEY,
                Task.status != TaskStatus.DONE,
            ),
        )
        .order_by(MpesaReceipt.receipt)
    ):
        yield Finding(
            "I6",
            f"receipt {row.receipt}",
            f"holds {row.amount_cents} cents without an order, and has no task",
        )


def find_forgotten_refunds(
    session: Session, now: datetime, limits: AuditLimits
) -> Iterator[Finding]:
    deadline = now - timedelta(seconds=limits.open_payment_seconds)
    for row in session.execute(
        select(Refund.id, Refund.state, Refund.created_at)
        .where(
            Refund.state.in_(LIVE_REFUNDS),
            or_(Refund.created_at < deadline, Refund.next_check_at.is_(None)),
            ~exists().where(Task.refund_id == Refund.id),
        )
        .order_by(Refund.id)
    ):
        yield Finding(
            "I7", f"refund {row.id}", f"{row.state} since {row.created_at:%Y-%m-%d %H:%M} UTC"
        )
