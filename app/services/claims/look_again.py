"""Claims that nobody has decided yet: which are looked at when, and what is done then."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, String, cast, exists, literal, select
from sqlalchemy.orm import Session

from app.models import (
    UNDECIDED_CLAIMS,
    ClaimState,
    MpesaReceipt,
    MpesaRequest,
    PaymentClaim,
    ReceiptState,
    RequestKind,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.claims.end import Doubt, hand_claim_over, lock_claim, refuse_claim, task_key
from app.services.claims.register import find_told, judge_by_register
from app.services.claims.said import LOOKED_FOR
from app.services.mpesa_requests import NewRequest, record_request
from app.utils.callback_secret import CallbackSecret

GIVE_UP_AFTER = timedelta(days=1)
_ASK_AFTER_SECONDS = (60, 300, 1800, 7200, 21_600, 43_200)
"""Again, so long after the claim was made: an answer takes seconds, or never comes."""
_MOST_AT_ONCE = 100


def find_claims_to_look_at(session: Session, now: datetime) -> list[int]:
    """Undecided claims of which something new is known, or about which M-Pesa is to be asked."""
    return list(
        session.scalars(
            select(PaymentClaim.id)
            .where(
                PaymentClaim.state.in_(UNDECIDED_CLAIMS),
                (PaymentClaim.next_check_at <= now) | _receipt_has_news() | _person_is_done(),
            )
            .order_by(PaymentClaim.id)
            .limit(_MOST_AT_ONCE)
        )
    )


def look_at_claim(
    session: Session, claim_id: int, secret: CallbackSecret, now: datetime
) -> MpesaRequest | None:
    """Decide a claim by what is known now, or put a question to M-Pesa on record.

    Answers that question, which is to be sent. Safe to call again, or from two hands:
    a moment at which M-Pesa is asked comes once.
    """
    order, claim = lock_claim(session, claim_id)
    if claim.state not in UNDECIDED_CLAIMS:
        return None
    row = find_told(session, claim.receipt)
    if row is not None and (claim.state == ClaimState.OPEN or row.state != ReceiptState.UNMATCHED):
        judge_by_register(session, order, claim, row, now)
    elif claim.state == ClaimState.WITH_A_PERSON:
        if _has_closed_its_task(session, claim):
            refuse_claim(session, claim, LOOKED_FOR, now)
    elif now >= claim.created_at + GIVE_UP_AFTER:
        hand_claim_over(
            session, claim, Doubt(description="M-Pesa was asked for a day, and never said."), now
        )
    elif claim.next_check_at is not None and claim.next_check_at <= now:
        return _put_question(session, claim, secret, now)
    return None


def note_question_refused(session: Session, claim_id: int, message: str, now: datetime) -> None:
    """Our own settings do not let us ask: no later try will be better, so a person looks."""
    _, claim = lock_claim(session, claim_id)
    if claim.state == ClaimState.OPEN:
        hand_claim_over(
            session, claim, Doubt(description=f"M-Pesa does not let us ask: {message}"), now
        )


def _put_question(
    session: Session, claim: PaymentClaim, secret: CallbackSecret, now: datetime
) -> MpesaRequest:
    age = (now - claim.created_at).total_seconds()
    ahead = [seconds for seconds in _ASK_AFTER_SECONDS if seconds > age]
    wait = timedelta(seconds=min(ahead)) if ahead else GIVE_UP_AFTER
    claim.next_check_at = claim.created_at + wait
    claim.updated_at = now
    question = NewRequest(RequestKind.STATUS, claim_id=claim.id, receipt=claim.receipt)
    return record_request(session, question, secret, now)


def _receipt_has_news() -> ColumnElement[bool]:
    """Another road has told of the money, or a person has found out whose it is."""
    return exists().where(
        MpesaReceipt.receipt == PaymentClaim.receipt,
        MpesaReceipt.state != ReceiptState.WRITTEN_OFF,
        (PaymentClaim.state == ClaimState.OPEN) | (MpesaReceipt.state != ReceiptState.UNMATCHED),
    )


def _person_is_done() -> ColumnElement[bool]:
    key = literal(f"{TaskKind.PAYMENT_CLAIM}:") + cast(PaymentClaim.id, String)
    return exists().where(Task.dedupe_key == key, Task.status == TaskStatus.DONE)


def _has_closed_its_task(session: Session, claim: PaymentClaim) -> bool:
    closed = exists().where(Task.dedupe_key == task_key(claim), Task.status == TaskStatus.DONE)
    return bool(session.scalar(select(closed)))
