"""Looking after refunds that are not over: what to ask M-Pesa, when next, and when to give up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    MpesaRequest,
    Refund,
    RefundKind,
    RefundState,
    RequestKind,
    RequestState,
)
from app.services.due_payments import CheckSchedule
from app.services.mpesa_requests import (
    OPEN_REQUESTS,
    NewRequest,
    expire_requests,
    record_request,
    record_request_silence,
)
from app.services.refunds.finish_refund import hand_over
from app.services.refunds.move_refund import Step, hold_refund, move_refund
from app.services.refunds.send_refund import find_money_request
from app.utils.callback_secret import CallbackSecret
from app.utils.clock import rfc3339
from app.utils.money import cents_to_wire

_CONFIRM_TRIES = 5
_CONFIRM_PAUSE = timedelta(minutes=2)
_OPEN = (RefundState.CREATED, RefundState.PENDING, RefundState.UNKNOWN)
_LOST = "the request was on record, and nobody heard whether it was sent"


@dataclass(frozen=True, slots=True)
class Question:
    """What M-Pesa is asked about a refund, and the request that stands for it: by a receipt, or by
    the id of the refund's own conversation.
    """

    request_id: int
    receipt: str | None
    conversation_id: str | None
    of_payout: bool
    remarks: str


def begin_question(
    session: Session,
    refund_id: int,
    secret: CallbackSecret,
    schedule: CheckSchedule,
    now: datetime,
) -> Question | None:
    """Put a question about a refund on record and plan the next look; None where none is needed.

    A refund that was sent, or may have been, is never sent again. What nobody knows after a whole
    day is a person's; the last question goes out all the same.
    """
    refund = hold_refund(session, refund_id).refund
    refund.leased_until = None
    request = find_money_request(session, refund_id)
    if (
        request is None
        or _is_nameless(refund, request)
        or not _plan_next_look(refund, request, schedule, now)
    ):
        refund.next_check_at = None
        session.flush()
        return None
    session.flush()
    last_words = _let_earlier_questions_go(session, refund_id)
    if request.state == RequestState.CREATED:
        record_request_silence(session, request.id, _LOST, now)
    _let_become_unknown(session, refund, request, schedule, now)
    if refund.next_check_at is None and refund.state != RefundState.SUCCEEDED:
        hand_over(session, refund, _tell(refund, request, last_words), now)
    return _ask(session, refund, request, secret, now)


def remind_of_hand(session: Session, refund_id: int, now: datetime) -> None:
    """A refund that a person was to do by hand has waited long for its receipt: tell a person."""
    refund = hold_refund(session, refund_id).refund
    refund.leased_until = refund.next_check_at = None
    session.flush()
    if refund.state == RefundState.CREATED:
        amount = f"KES {cents_to_wire(refund.amount_cents)}"
        sentence = f"{amount} of receipt {refund.receipt} was to go back by hand."
        hand_over(session, refund, sentence, now)


def _is_nameless(refund: Refund, request: MpesaRequest) -> bool:
    """A payout that may have gone after the backup that the shop was restored from: M-Pesa knows it
    by ids that nobody here knows any more. A person has it as a task.
    """
    is_unnamed = request.conversation_id is None and request.originator_id is None
    return refund.kind == RefundKind.PAYOUT and refund.state in _OPEN and is_unnamed


def _plan_next_look(
    refund: Refund, request: MpesaRequest, schedule: CheckSchedule, now: datetime
) -> bool:
    """Say when it is looked at next; answers False for a refund that nobody need look at."""
    refund.check_count += 1
    refund.updated_at = now
    if refund.state == RefundState.SUCCEEDED and refund.refund_receipt is not None:
        tries_left = refund.check_count < _CONFIRM_TRIES
        refund.next_check_at = now + _CONFIRM_PAUSE * refund.check_count if tries_left else None
        return True
    if refund.state not in _OPEN:
        return False
    age_seconds = (now - request.created_at).total_seconds()
    is_over = age_seconds >= schedule.give_up_after_seconds
    refund.next_check_at = None if is_over else schedule.next_check(request.created_at, now)
    return True


def _let_earlier_questions_go(session: Session, refund_id: int) -> str:
    """Nobody waits for their answers any more. Answers what M-Pesa said to the last one."""
    earlier = session.scalars(
        select(MpesaRequest)
        .where(MpesaRequest.refund_id == refund_id, MpesaRequest.kind == RequestKind.STATUS)
        .order_by(MpesaRequest.id.desc())
    ).all()
    told = [one for one in earlier if one.state == RequestState.ANSWERED]
    silent = [one.id for one in earlier if one.state in OPEN_REQUESTS]
    expire_requests(session, silent)
    return f"{told[0].result_code} {told[0].result_desc}".strip() if told else "none"


def _let_become_unknown(
    session: Session,
    refund: Refund,
    request: MpesaRequest,
    schedule: CheckSchedule,
    now: datetime,
) -> None:
    age_seconds = (now - request.created_at).total_seconds()
    is_late = age_seconds >= schedule.unknown_after_seconds
    if refund.state == RefundState.CREATED:
        move_refund(session, refund, RefundState.UNKNOWN, Step("check", detail=_LOST), now)
    elif refund.state == RefundState.PENDING and is_late:
        detail = "no result has come"
        move_refund(session, refund, RefundState.UNKNOWN, Step("check", detail=detail), now)


def _tell(refund: Refund, request: MpesaRequest, last_words: str) -> str:
    amount = f"KES {cents_to_wire(refund.amount_cents)}"
    return (
        f"{amount} of receipt {refund.receipt} was to go back, as asked at"
        f" {rfc3339(request.created_at)}. M-Pesa was asked {refund.check_count} times what became"
        f" of it; its last answer: {last_words}."
    )


def _ask(
    session: Session,
    refund: Refund,
    request: MpesaRequest,
    secret: CallbackSecret,
    now: datetime,
) -> Question:
    receipt, conversation_id = _what_to_ask_by(refund, request)
    new = NewRequest(RequestKind.STATUS, refund_id=refund.id, receipt=receipt)
    return Question(
        request_id=record_request(session, new, secret, now).id,
        receipt=receipt,
        conversation_id=conversation_id,
        of_payout=refund.kind == RefundKind.PAYOUT,
        remarks=f"Refund {refund.id}",
    )


def _what_to_ask_by(refund: Refund, request: MpesaRequest) -> tuple[str | None, str | None]:
    """A receipt, or the id of a conversation.

    A payment that a reversal takes back shows for certain whether it went; its own conversation
    shows the receipt as well. Sources disagree which id M-Pesa finds it by, so both have a turn.
    """
    if refund.state == RefundState.SUCCEEDED:
        return refund.refund_receipt, None
    ids = [one for one in (request.conversation_id, request.originator_id) if one]
    turn = refund.check_count - 1
    if refund.kind == RefundKind.PAYOUT:
        return None, ids[turn % len(ids)]
    is_answered = request.state == RequestState.ANSWERED
    if is_answered or not request.conversation_id or turn % 2:
        return refund.receipt, None
    return None, request.conversation_id
