"""A customer says: "I have paid". What a person answers to that."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.models import ClaimState, PaymentClaim
from app.services.exceptions.situation import find_claim
from app.services.exceptions.take_up import Case
from app.services.records import notify

ACCEPTED_MESSAGE = "We found your money. Thank you for telling us."
REFUSED_MESSAGE = (
    "We could not find a payment with this receipt among ours. Look at the M-Pesa message again:"
    " the receipt, and the number that was paid."
)


def accept_claim(session: Session, case: Case, now: datetime) -> None:
    """The money is found; whoever counts it tells the buyer what it did."""
    _end(session, case, ClaimState.ACCEPTED, ACCEPTED_MESSAGE, now)


def refuse_claim(session: Session, case: Case, now: datetime) -> None:
    """No such money: the customer is told so, once, and may name another receipt."""
    before, claim = _end(session, case, ClaimState.REFUSED, REFUSED_MESSAGE, now)
    if case.order is None or before == ClaimState.REFUSED:
        return
    notify(
        session,
        claim.user_id,
        "claim_refused",
        title=f"We could not find your payment for order {case.order.number}",
        body=REFUSED_MESSAGE,
        now=now,
        order_id=claim.order_id,
    )
    session.flush()


def _end(
    session: Session, case: Case, state: ClaimState, message: str, now: datetime
) -> tuple[str, PaymentClaim]:
    claim = find_claim(session, case.task)
    if claim is None:
        raise RuntimeError(f"Task {case.task.id} is about no claim.")
    before = claim.state
    ended = session.execute(
        update(PaymentClaim)
        .where(PaymentClaim.id == claim.id, PaymentClaim.state == before)
        .values(state=state, message=message, next_check_at=None, updated_at=now)
        .returning(PaymentClaim.id)
    ).one_or_none()
    if ended is None:
        raise RuntimeError(f"Claim {claim.id} was decided beside the lock of its order.")
    return before, claim
