"""The register of receipts: each is money once, whichever road reports it and however often."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    MpesaReceipt,
    Payment,
    PaymentKind,
    ReceiptState,
    Task,
    TaskKind,
)
from app.services.insert_once import insert_once
from app.services.ledger import book_matched, book_undismissed
from app.services.records import solve_tasks
from app.services.refund_shares import is_going_back


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a road says of one receipt. The phone may be whole, masked or a hash; text is kept as
    it came.
    """

    receipt: str
    amount_cents: int
    source: str
    bill_reference: str | None = None
    transacted_at: datetime | None = None
    payer_phone: str | None = None
    payer_name: str | None = None


class Standing(StrEnum):
    """How a receipt stands to a payment that names it."""

    OURS = "ours"
    """It is registered for this payment, now or before."""
    TOLD_TWICE = "told_twice"
    """The same money was counted already, as paybill money of the same order."""
    CONFLICT = "conflict"
    """It stands for other money, for another amount, or for money that is on its way back."""


def find_receipt(session: Session, receipt: str) -> MpesaReceipt | None:
    """The receipt as it is now, locked until the transaction ends."""
    return session.scalar(
        select(MpesaReceipt)
        .where(MpesaReceipt.receipt == receipt)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def register_receipt(
    session: Session,
    facts: ReceiptFacts,
    now: datetime,
    *,
    payment_id: int | None,
    state: ReceiptState,
) -> bool:
    """Put a receipt on the register; answers False where it stands there already."""
    return insert_once(
        session,
        MpesaReceipt,
        "receipt",
        {
            "receipt": facts.receipt,
            "payment_id": payment_id,
            "amount_cents": facts.amount_cents,
            "source": facts.source,
            "state": state,
            "bill_reference": facts.bill_reference,
            "payer_phone": facts.payer_phone,
            "payer_name": facts.payer_name,
            "transacted_at": facts.transacted_at,
            "created_at": now,
        },
    )


def judge_receipt(session: Session, facts: ReceiptFacts, payment: Payment) -> Standing:
    """Whether this payment, whose order is locked, may have this receipt. Changes nothing."""
    row = find_receipt(session, facts.receipt)
    if row is None or row.payment_id == payment.id:
        return Standing.OURS
    if row.state == ReceiptState.UNMATCHED:
        fits = row.amount_cents == facts.amount_cents and not is_going_back(session, row.receipt)
        return Standing.OURS if fits else Standing.CONFLICT
    if row.payment_id is not None and row.amount_cents == facts.amount_cents:
        other = session.get_one(Payment, row.payment_id)
        if other.order_id == payment.order_id and other.kind == PaymentKind.PAYBILL:
            return Standing.TOLD_TWICE
    return Standing.CONFLICT


def take_receipt(session: Session, facts: ReceiptFacts, payment: Payment, now: datetime) -> bool:
    """Register a receipt for a payment whose order is locked; answers False if it is lost.

    It may have stood there without an order: then it leaves the unmatched money, and its task is
    done. Two hands at once come one after the other; the second finds the first one's entry.
    """
    is_new = register_receipt(
        session, facts, now, payment_id=payment.id, state=ReceiptState.MATCHED
    )
    if is_new:
        return True
    row = find_receipt(session, facts.receipt)
    if row is None or row.payment_id == payment.id:
        return row is not None
    if row.state != ReceiptState.UNMATCHED or row.amount_cents != facts.amount_cents:
        return False
    match_receipt(session, row, payment, now)
    return True


def match_receipt(
    session: Session,
    row: MpesaReceipt,
    payment: Payment,
    now: datetime,
    *,
    actor_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Money without an order has found its payment, which the caller books on its order."""
    row.payment_id = payment.id
    if row.state == ReceiptState.DISMISSED:
        book_undismissed(session, row, now)
    else:
        book_matched(session, row, now)
    row.state = ReceiptState.MATCHED
    mine = (Task.receipt == row.receipt) & (Task.kind == TaskKind.UNMATCHED_MONEY)
    why = f"It belongs to payment {payment.id}." + (f" {reason}" if reason else "")
    solve_tasks(session, mine, "matched", why, now, actor_id=actor_id)


def learn_facts(row: MpesaReceipt, facts: ReceiptFacts) -> None:
    """Fill in what an earlier road did not say of the same receipt."""
    for name in ("bill_reference", "transacted_at", "payer_phone", "payer_name"):
        if getattr(row, name) is None and getattr(facts, name) is not None:
            setattr(row, name, getattr(facts, name))
