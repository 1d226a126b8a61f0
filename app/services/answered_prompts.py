"""Which prompt it was that brought some money, where nothing but the money says so.

The payment of a prompt is told of as a payment like any other: with the order's number where
customers pay to a paybill, and with nothing but the payer's phone where they pay to a till.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, select
from sqlalchemy.orm import Session

from app.models import LIVE_STATES, Order, Payment, PaymentKind, PaymentState
from app.services.payment_evidence import CLOCKS_DIFFER, Proof, Settlement
from app.services.receipts import ReceiptFacts
from app.services.settle_payment import settle_payment
from app.utils.phone import fits_msisdn

_MOST_LOOKED_AT = 200
_PAID_WITHIN = timedelta(minutes=10)
"""By then a phone has answered its prompt, however slow it was."""


def find_answered_prompt(session: Session, order: Order, facts: ReceiptFacts) -> Payment | None:
    """The prompt on this order that this money answers: of its amount, without a receipt yet.

    One that a query found paid comes before one that is still out. Money that moved before a
    prompt was asked for, or from another phone, is no answer to it.
    """
    waiting = session.scalars(
        select(Payment)
        .where(Payment.order_id == order.id, *_awaits(facts))
        .order_by(case((Payment.status == PaymentState.SUCCEEDED, 0), else_=1), Payment.id)
    )
    return next((prompt for prompt in waiting if _may_answer(prompt, facts)), None)


def find_awaiting_orders(session: Session, facts: ReceiptFacts) -> set[int]:
    """The orders with a prompt that this money surely fits: by amount, phone and minute."""
    moved_at = facts.transacted_at
    if moved_at is None:
        return set()
    asked = session.execute(
        select(Payment.order_id, Payment.msisdn).where(
            Payment.created_at.between(moved_at - _PAID_WITHIN, moved_at + CLOCKS_DIFFER),
            *_awaits(facts),
        )
    )
    return {
        row.order_id for row in asked if fits_msisdn(facts.payer_phone, row.msisdn or "") is True
    }


def find_prompts_called_paid(
    session: Session, facts: ReceiptFacts, since: datetime
) -> list[Payment]:
    """The prompts that a query found paid, and whose receipt this money may be; newest first."""
    called_paid = session.scalars(
        select(Payment)
        .where(
            *_awaits(facts),
            Payment.status == PaymentState.SUCCEEDED,
            Payment.created_at > since,
        )
        .order_by(Payment.id.desc())
        .limit(_MOST_LOOKED_AT)
    )
    return [prompt for prompt in called_paid if _may_answer(prompt, facts)]


def settle_answered_prompt(
    session: Session, prompt: Payment, facts: ReceiptFacts, now: datetime
) -> None:
    """The money is this prompt's, whose order the caller has locked."""
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


def _awaits(facts: ReceiptFacts) -> tuple[ColumnElement[bool], ...]:
    return (
        Payment.kind == PaymentKind.STK_PUSH,
        Payment.mpesa_receipt.is_(None),
        Payment.amount_cents == facts.amount_cents,
        Payment.status.in_((PaymentState.SUCCEEDED, *LIVE_STATES)),
    )


def _may_answer(prompt: Payment, facts: ReceiptFacts) -> bool:
    moved_at = facts.transacted_at
    if moved_at is not None and moved_at < prompt.created_at - CLOCKS_DIFFER:
        return False
    return fits_msisdn(facts.payer_phone, prompt.prompted_msisdn) is not False
