"""Money that M-Pesa says came in, by whichever road: counted once, for the order it belongs to.

A confirmation of Safaricom, a pulled row, a line of the statement and the answer to a status
request all come here. Where the receipt is known already, nothing is booked.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    MpesaReceipt,
    Order,
    Payment,
    PaymentKind,
    PaymentState,
    ReceiptState,
    TaskKind,
)
from app.services.find_account import find_account
from app.services.move_order import lock_order
from app.services.payment_evidence import Proof, Settlement
from app.services.receipts import (
    ReceiptFacts,
    find_receipt,
    learn_facts,
    register_receipt,
)
from app.services.records import Matter, file_task
from app.services.refund_shares import is_going_back
from app.services.settle_payment import settle_payment
from app.services.unmatched_money import attach_money, keep_unmatched, record_paybill_payment
from app.services.use_money import use_money
from app.utils.money import cents_to_wire
from app.utils.phone import fits_msisdn

_CLOCKS_DIFFER = timedelta(minutes=2)


class Reception(StrEnum):
    """What became of the news."""

    SETTLED = "settled"
    """It was the money of a prompt, which had no receipt yet."""
    BOOKED = "booked"
    """It is a payment of its own, on the order that the payer named."""
    UNMATCHED = "unmatched"
    """It is in the books, and a person finds out whose it is."""
    KNOWN = "known"
    """It was counted before."""
    DIFFERENT = "different"
    """It was counted before with another amount; a person compares."""


def receive_money(
    session: Session, facts: ReceiptFacts, now: datetime, *, order_id: int | None = None
) -> Reception:
    """Count money once. ``order_id`` says whose it is where no account number does.

    Safe to call again, late, or from two hands at once.
    """
    if order_id is None:
        order_id = find_account(session, facts.bill_reference)
    order = lock_order(session, order_id) if order_id is not None else None
    row = find_receipt(session, facts.receipt)
    if row is None and order is not None:
        return _take_for_order(session, order, facts, now)
    if row is None:
        if keep_unmatched(session, facts, now):
            return Reception.UNMATCHED
        row = find_receipt(session, facts.receipt)
        if row is None:
            raise RuntimeError(f"Receipt {facts.receipt} is there and is not.")
    return _hear_again(session, row, order, facts, now)


def _take_for_order(
    session: Session, order: Order, facts: ReceiptFacts, now: datetime
) -> Reception:
    prompt = _find_prompt(session, order, facts)
    if prompt is not None:
        return _settle_prompt(session, prompt, facts, now)
    payment = record_paybill_payment(session, order, facts, now)
    if not register_receipt(session, facts, now, payment_id=payment.id, state=ReceiptState.MATCHED):
        raise RuntimeError(f"Receipt {facts.receipt} was taken beside the lock of its order.")
    use_money(session, order, payment, now)
    session.flush()
    return Reception.BOOKED


def _settle_prompt(
    session: Session, prompt: Payment, facts: ReceiptFacts, now: datetime
) -> Reception:
    proof = Proof(
        source=facts.source,
        result_code="0",
        result_desc="M-Pesa reported the money.",
        receipt=facts.receipt,
        amount_verified=True,
        decides_review=True,
        bill_reference=facts.bill_reference,
        transacted_at=facts.transacted_at,
        payer_phone=facts.payer_phone,
        payer_name=facts.payer_name,
    )
    outcome = settle_payment(session, prompt.id, proof, now)
    if outcome not in (Settlement.SETTLED, Settlement.ALREADY_SETTLED):
        raise RuntimeError(f"Payment {prompt.id} did not take receipt {facts.receipt}: {outcome}.")
    return Reception.SETTLED


def _find_prompt(session: Session, order: Order, facts: ReceiptFacts) -> Payment | None:
    """The prompt on this order that this money answers: of its amount, without a receipt yet.

    One that a query found paid comes before one that is still out. Money that moved before a
    prompt was asked for, or from another phone, is no answer to it.
    """
    waiting = session.scalars(
        select(Payment)
        .where(
            Payment.order_id == order.id,
            Payment.kind == PaymentKind.STK_PUSH,
            Payment.mpesa_receipt.is_(None),
            Payment.amount_cents == facts.amount_cents,
            Payment.status.in_((PaymentState.SUCCEEDED, *LIVE_STATES)),
        )
        .order_by(case((Payment.status == PaymentState.SUCCEEDED, 0), else_=1), Payment.id)
    )
    return next((prompt for prompt in waiting if _may_answer(prompt, facts)), None)


def _may_answer(prompt: Payment, facts: ReceiptFacts) -> bool:
    moved_at = facts.transacted_at
    if moved_at is not None and moved_at < prompt.created_at - _CLOCKS_DIFFER:
        return False
    return fits_msisdn(facts.payer_phone, prompt.prompted_msisdn) is not False


def _hear_again(
    session: Session, row: MpesaReceipt, order: Order | None, facts: ReceiptFacts, now: datetime
) -> Reception:
    """The receipt is on the register: nothing is counted twice, but more may be known now."""
    if row.amount_cents != facts.amount_cents:
        _report_difference(session, row, facts, now)
        return Reception.DIFFERENT
    learn_facts(row, facts)
    is_free = row.state == ReceiptState.UNMATCHED and not is_going_back(session, row.receipt)
    if is_free and order is not None:
        attach_money(session, row, order, now)
        return Reception.BOOKED
    session.flush()
    return Reception.KNOWN


def _report_difference(
    session: Session, row: MpesaReceipt, facts: ReceiptFacts, now: datetime
) -> None:
    payment = session.get(Payment, row.payment_id) if row.payment_id is not None else None
    booked, said = cents_to_wire(row.amount_cents), cents_to_wire(facts.amount_cents)
    file_task(
        session,
        Matter(
            kind=TaskKind.STATEMENT_DIFFERENCE,
            title=f"Receipt {row.receipt} is KES {booked} here and KES {said} there",
            description=f"It was counted as KES {booked} by {row.source}; {facts.source} says"
            f" KES {said}. The books are unchanged. Look it up on the M-Pesa statement.",
            dedupe_key=f"difference:{row.receipt}:{facts.amount_cents}",
        ),
        now,
        payment=payment,
        receipt=row.receipt,
    )
    session.flush()
