"""Requests to Safaricom that are acknowledged at once and answered later, or never.

The row comes before the network and carries the hash of a secret that only the addresses of its
answer hold. Whoever locks a row locks before it what the request is about: the order, the payment,
then the refund or the claim.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.models import MpesaRequest, RequestKind, RequestState
from app.ports import RequestAccepted
from app.services.lock_row import lock_row
from app.services.request_reports import report_mismatch
from app.utils.callback_secret import CallbackSecret

OPEN_REQUESTS = (RequestState.CREATED, RequestState.SENT, RequestState.UNKNOWN)
"""An answer may still come."""

_UNSETTLED = (RequestState.CREATED, RequestState.UNKNOWN)
GIVEN_UP = "M-Pesa's queue gave the request up."
_LONGEST = 300
_LONGEST_CODE = 40


@dataclass(frozen=True, slots=True)
class NewRequest:
    """What is to be asked, and what it is about. ``originator_id`` is ours, for APIs that take
    one; ``receipt`` is the one that it names.
    """

    kind: RequestKind
    refund_id: int | None = None
    claim_id: int | None = None
    receipt: str | None = None
    originator_id: str | None = None


@dataclass(frozen=True, slots=True)
class NamedIds:
    """The ids of its request that a message names; one that it does not is empty."""

    conversation_id: str = ""
    originator_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came to the address of a request's result."""

    result_code: str
    result_desc: str
    ids: NamedIds = NamedIds()
    parameters: Mapping[str, str] = field(default_factory=dict)


class Hearing(StrEnum):
    """How an answer stands to its request."""

    NEWS = "news"
    """The first answer, or another than before: it is to be acted on."""
    REPEATED = "repeated"
    """What was said before, or less than that."""
    MISMATCHED = "mismatched"
    """It names other ids than the request has: it was kept, a person is told, it moves nothing."""


def record_request(
    session: Session, new: NewRequest, secret: CallbackSecret, now: datetime
) -> MpesaRequest:
    """Put a request on record; send nothing."""
    request = MpesaRequest(
        kind=new.kind,
        state=RequestState.CREATED,
        refund_id=new.refund_id,
        claim_id=new.claim_id,
        receipt=new.receipt,
        originator_id=new.originator_id,
        secret_hash=secret.hash,
        created_at=now,
    )
    session.add(request)
    session.flush()  # assigns the id, which the addresses of the answer carry
    return request


def find_request_by_secret(
    session: Session, request_id: int, secret: CallbackSecret
) -> MpesaRequest | None:
    """The request whose answer has this address; None for any other secret."""
    request = session.get(MpesaRequest, request_id)
    return request if request is not None and secret.matches(request.secret_hash) else None


def lock_request(session: Session, request_id: int) -> MpesaRequest:
    """The request as it is now, locked until the transaction ends."""
    request = lock_row(session, MpesaRequest, request_id)
    if request is None:
        raise RuntimeError(f"Request {request_id} is gone.")
    return request


def record_acknowledgement(
    session: Session, request_id: int, accepted: RequestAccepted, now: datetime
) -> None:
    """Safaricom has it: ``created`` becomes ``sent``. The answer may have come first, and stays.

    Ids that contradict those of that answer are told to a person.
    """
    request = lock_request(session, request_id)
    conversation_id = accepted.conversation_id
    if conversation_id and request.conversation_id not in (None, conversation_id):
        report_mismatch(
            session,
            request,
            f"Safaricom acknowledged it as {conversation_id}, but its answer, which came first,"
            f" was for {request.conversation_id}.",
            now,
        )
    request.conversation_id = request.conversation_id or conversation_id or None
    request.originator_id = request.originator_id or accepted.originator_conversation_id or None
    session.flush()
    _move(session, request, _UNSETTLED, {"state": RequestState.SENT, "sent_at": now})


def record_request_refusal(
    session: Session, request_id: int, code: str | None, message: str, now: datetime
) -> None:
    """Surely nothing happened and nothing will: ``created`` becomes ``refused``."""
    values = {
        "state": RequestState.REFUSED,
        "result_code": code[:_LONGEST_CODE] if code else None,
        "result_desc": message[:_LONGEST],
        "answered_at": now,
    }
    _move(session, lock_request(session, request_id), _UNSETTLED, values)


def record_request_silence(session: Session, request_id: int, message: str, now: datetime) -> None:
    """It may have arrived or not, or Safaricom gave it up: nobody knows what comes of it."""
    values = {"state": RequestState.UNKNOWN, "result_desc": message[:_LONGEST]}
    request = lock_request(session, request_id)
    _move(session, request, (RequestState.CREATED, RequestState.SENT), values)
    if request.sent_at is None:
        request.sent_at = now
        session.flush()


def note_given_up(session: Session, request_id: int, ids: NamedIds, now: datetime) -> Hearing:
    """M-Pesa's queue let the request go. It may be carried out all the same."""
    request = lock_request(session, request_id)
    if contradiction := _find_contradiction(request, ids):
        report_mismatch(session, request, contradiction, now)
        return Hearing.MISMATCHED
    if request.state == RequestState.ANSWERED:
        return Hearing.REPEATED
    record_request_silence(session, request_id, GIVEN_UP, now)
    return Hearing.NEWS


def expire_requests(session: Session, request_ids: Collection[int]) -> None:
    """Nobody waits for these any more. An answer that comes all the same is still heard."""
    for request_id in sorted(request_ids):
        request = lock_request(session, request_id)
        _move(session, request, OPEN_REQUESTS, {"state": RequestState.EXPIRED})


def note_answer(session: Session, request_id: int, answer: Answer, now: datetime) -> Hearing:
    """Keep what came to the address of a request, however late, and say how it stands to it."""
    request = lock_request(session, request_id)
    if contradiction := _find_contradiction(request, answer.ids):
        report_mismatch(session, request, contradiction, now)
        return Hearing.MISMATCHED
    result = json.dumps(dict(answer.parameters), sort_keys=True)
    if request.state == RequestState.ANSWERED and (
        request.result_code == answer.result_code and request.result == result
    ):
        return Hearing.REPEATED
    request.conversation_id = request.conversation_id or answer.ids.conversation_id or None
    request.originator_id = request.originator_id or answer.ids.originator_id or None
    request.state = RequestState.ANSWERED
    request.result_code = answer.result_code[:_LONGEST_CODE]
    request.result_desc = answer.result_desc[:_LONGEST]
    request.result = result
    request.answered_at = now
    session.flush()
    return Hearing.NEWS


def _find_contradiction(request: MpesaRequest, ids: NamedIds) -> str | None:
    """An id of ours that it takes is given back or not, so a payout's proves nothing either way."""
    named = [("ConversationID", request.conversation_id, ids.conversation_id)]
    if request.kind != RequestKind.PAYOUT:
        named.append(("OriginatorConversationID", request.originator_id, ids.originator_id))
    for name, ours, theirs in named:
        if ours and theirs and ours != theirs:
            return f"The answer names {name} {theirs}, but the request was {ours}."
    return None


def _move(
    session: Session,
    request: MpesaRequest,
    states: Collection[RequestState],
    values: Mapping[str, object],
) -> None:
    """One conditional step; a request that stands further on is left there."""
    moved = session.execute(
        update(MpesaRequest)
        .where(MpesaRequest.id == request.id, MpesaRequest.state.in_(states))
        .values(**values)
        .returning(MpesaRequest.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is not None:
        session.refresh(request)
