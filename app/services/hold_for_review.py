"""Stopping all that is automatic where two of Safaricom's words contradict each other."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import (
    Payment,
    PaymentState,
    TaskKind,
)
from app.services.records import Matter, file_task, record_payment_event

REVIEW_TASKS = (
    TaskKind.WRONG_AMOUNT,
    TaskKind.UNKNOWN_PAYMENT,
)
"""What is a person's while nobody knows how a prompt ended; news of its money solves it."""

WRITTEN_OFF = "written_off"
"""A person found that the money which had been booked for it never came."""

COUNTED_APART = "counted_apart"
"""A person found its money, which was another amount: it is a payment of its own in the books."""

DECIDED = (WRITTEN_OFF, COUNTED_APART)
"""Reviews that are over, and hold for good: no news is counted for such a payment any more. Its
money, should there be some, has a receipt, and is counted by that.
"""


def hold_for_review(
    session: Session,
    payment: Payment,
    reason: str,
    matter: Matter,
    now: datetime,
    *,
    receipt: str | None = None,
) -> None:
    """What was reported contradicts what was asked: from here on only a person decides.

    The payment, which the caller has locked with its order, keeps the order's stock held. The same
    matter reported again adds nothing. ``receipt`` is the one that was reported.
    """
    if not file_task(session, matter, now, payment=payment, receipt=receipt):
        return
    if payment.review_reason in DECIDED:
        return
    before = payment.status
    payment.review_reason = reason
    payment.next_check_at = None
    payment.updated_at = now
    if before in (PaymentState.CREATED, PaymentState.PENDING):
        payment.status = PaymentState.UNKNOWN
    payment.customer_message = (
        "M-Pesa's answer does not fit your order. We are looking into it; do not pay again."
    )
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=payment.status,
        source="review",
        now=now,
        detail=matter.title,
    )
    session.flush()
