"""A customer says: "I have paid". What a person answers to that."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import ClaimState, PaymentClaim
from app.services import claims
from app.services.exceptions.situation import find_claim
from app.services.exceptions.take_up import Case


def accept_claim(session: Session, case: Case, now: datetime) -> None:
    """The money is found; whoever counts it tells the buyer what it did."""
    claims.accept_claim(session, _claim_of(session, case), now)


def refuse_claim(session: Session, case: Case, now: datetime) -> None:
    """No such money: the customer is told so, once, and may name another receipt."""
    claim = _claim_of(session, case)
    if claim.state != ClaimState.REFUSED:
        claims.refuse_claim(session, claim, claims.LOOKED_FOR, now)


def _claim_of(session: Session, case: Case) -> PaymentClaim:
    """Locked after its order, which whoever decides it has locked first."""
    claim = find_claim(session, case.task)
    if claim is None:
        raise RuntimeError(f"Task {case.task.id} is about no claim.")
    return claims.lock_claim(session, claim.id)[1]
