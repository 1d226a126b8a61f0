"""Reading what comes later to the addresses of a request: its result, or that none will come.

Who acts on it is told by what was asked and what about: one line in LISTENERS for each.
"""

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy.orm import Session

from app.integrations.mpesa import (
    ApiResult,
    UnreadableMessage,
    read_api_result,
    read_queue_timeout,
)
from app.jobs import hear_refund
from app.jobs.check_claim import CLAIM_LISTENER
from app.jobs.heard import Heard, Listener
from app.jobs.work import Work
from app.models import InboxMessage, InboxSource, MpesaRequest, RequestKind
from app.services.mpesa_requests import (
    GIVEN_UP,
    Answer,
    Hearing,
    NamedIds,
    note_answer,
    note_given_up,
)
from app.services.request_reports import report_unreadable_answer


class Subject(StrEnum):
    """What a request is about."""

    REFUND = "refund"
    CLAIM = "claim"
    SHOP = "shop"


LISTENERS: Mapping[tuple[RequestKind, Subject], Listener] = {
    (RequestKind.REVERSAL, Subject.REFUND): hear_refund.MONEY_MOVED,
    (RequestKind.PAYOUT, Subject.REFUND): hear_refund.MONEY_MOVED,
    (RequestKind.STATUS, Subject.REFUND): hear_refund.STATE_ASKED,
    (RequestKind.STATUS, Subject.CLAIM): CLAIM_LISTENER,
}
"""An answer that has no line here is kept with its request, and moves nothing."""

_NOBODY = Listener(
    lock=lambda _session, _request: None,
    heard=lambda _session, _work, _request, _result: Heard("kept"),
    silenced=lambda _session, _work, _request, _reason: Heard("kept"),
)


def hear_answer(session: Session, work: Work, message: InboxMessage) -> Heard:
    """Act on a message whose sender knew the secret of a request."""
    if message.request_id is None:
        raise RuntimeError(f"Message {message.id} answers no request.")
    request = session.get_one(MpesaRequest, message.request_id)
    listener = LISTENERS.get((RequestKind(request.kind), _subject_of(request)), _NOBODY)
    listener.lock(session, request)
    if message.source == InboxSource.QUEUE_TIMEOUT:
        return _hear_given_up(session, work, message, request, listener)
    return _hear_result(session, work, message, request, listener)


def _hear_given_up(
    session: Session,
    work: Work,
    message: InboxMessage,
    request: MpesaRequest,
    listener: Listener,
) -> Heard:
    """Nobody has documented what such a notice says; that it came to this address is enough."""
    try:
        notice = read_queue_timeout(message.body)
        ids = NamedIds(notice.conversation_id, notice.originator_conversation_id)
    except UnreadableMessage:
        ids = NamedIds()
    hearing = note_given_up(session, request.id, ids, work.now())
    if hearing is Hearing.NEWS:
        return Heard("given_up", listener.silenced(session, work, request, GIVEN_UP).then)
    return Heard(hearing)


def _hear_result(
    session: Session,
    work: Work,
    message: InboxMessage,
    request: MpesaRequest,
    listener: Listener,
) -> Heard:
    now = work.now()
    try:
        result = read_api_result(message.body)
    except UnreadableMessage as error:
        report_unreadable_answer(session, request, message.id, error.reason, now)
        return Heard("unreadable", listener.silenced(session, work, request, error.reason).then)
    hearing = note_answer(session, request.id, _answer_of(result), now)
    if hearing is Hearing.NEWS:
        return listener.heard(session, work, request, result)
    if hearing is Hearing.MISMATCHED:
        reason = "its result names other ids"
        return Heard(hearing, listener.silenced(session, work, request, reason).then)
    return Heard(hearing)


def _answer_of(result: ApiResult) -> Answer:
    return Answer(
        result_code=result.result_code,
        result_desc=result.result_desc,
        ids=NamedIds(result.conversation_id, result.originator_conversation_id),
        parameters=result.parameters,
    )


def _subject_of(request: MpesaRequest) -> Subject:
    if request.refund_id is not None:
        return Subject.REFUND
    return Subject.SHOP if request.claim_id is None else Subject.CLAIM
