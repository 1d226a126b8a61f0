"""Sending a refund: the request goes on record first, and only ever one for each refund."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    MpesaRequest,
    RefundKind,
    RefundState,
    RequestKind,
    RequestState,
)
from app.services.mpesa_requests import NewRequest, record_request
from app.services.refunds.finish_refund import fail
from app.services.refunds.held import keep_waiting, refunds_are_held
from app.services.refunds.move_refund import Step, hold_refund, move_refund
from app.services.refunds.values import RefundNews, RefundVerdict
from app.utils.callback_secret import CallbackSecret

_REQUEST_KINDS = {
    RefundKind.REVERSAL: RequestKind.REVERSAL,
    RefundKind.PAYOUT: RequestKind.PAYOUT,
}
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class RefundSending:
    """What is to be sent for a refund, and the request that stands for it."""

    request_id: int
    kind: RefundKind
    receipt: str
    amount_cents: int
    msisdn: str | None
    originator_id: str | None
    remarks: str


def begin_sending(
    session: Session,
    refund_id: int,
    secret: CallbackSecret,
    now: datetime,
    *,
    lease_seconds: float,
) -> RefundSending | None:
    """Put on record the one request that a refund makes; None where there is nothing to send.

    It may be called again or side by side: a refund that has a request, whatever became of it, is
    never sent for a second time. None is sent while a restored shop does not know what it sent
    after its backup. While the lease lasts nobody else looks at the refund.
    """
    refund = hold_refund(session, refund_id).refund
    if refund.state != RefundState.CREATED or refund.kind == RefundKind.BY_HAND:
        return None
    if find_money_request(session, refund_id) is not None:
        return None
    if refunds_are_held(session):
        keep_waiting(session, refund, now)
        return None
    kind = RefundKind(refund.kind)
    originator_id = f"refund-{refund.id}-{secret.hash[:24]}" if kind is RefundKind.PAYOUT else None
    new = NewRequest(
        _REQUEST_KINDS[kind],
        refund_id=refund.id,
        receipt=refund.receipt,
        originator_id=originator_id,
    )
    request = record_request(session, new, secret, now)
    refund.leased_until = now + timedelta(seconds=lease_seconds)
    refund.updated_at = now
    session.flush()
    return RefundSending(
        request_id=request.id,
        kind=kind,
        receipt=refund.receipt,
        amount_cents=refund.amount_cents,
        msisdn=refund.msisdn,
        originator_id=originator_id,
        remarks=f"Refund {refund.id} of {refund.receipt}",
    )


def record_sent(
    session: Session,
    refund_id: int,
    state: RequestState,
    message: str,
    now: datetime,
    *,
    next_check_at: datetime,
    code: str | None = None,
) -> None:
    """Move a refund by what became of sending it: SENT, REFUSED for certain, or UNKNOWN.

    Its result may have come first; then it stands further on, and stays there.
    """
    refund = hold_refund(session, refund_id).refund
    if refund.state not in (RefundState.CREATED, RefundState.UNKNOWN):
        return
    if state == RequestState.REFUSED:
        news = RefundNews(
            "sending",
            RefundVerdict.DID_NOT_GO,
            f"M-Pesa did not take the request: {message}",
            result_code=code,
        )
        fail(session, refund, news, now)
        return
    is_sent = state == RequestState.SENT
    to = RefundState.PENDING if is_sent else RefundState.UNKNOWN
    if to != refund.state:
        move_refund(
            session,
            refund,
            to,
            Step("sending", detail=message),
            now,
            result_desc=None if is_sent else message[:_LONGEST],
            next_check_at=next_check_at,
            leased_until=None,
        )


def find_money_request(session: Session, refund_id: int) -> MpesaRequest | None:
    """The one request of a refund that moves money, as it is now."""
    return session.scalar(
        select(MpesaRequest)
        .where(
            MpesaRequest.refund_id == refund_id,
            MpesaRequest.kind.in_(_REQUEST_KINDS.values()),
        )
        .execution_options(populate_existing=True)
    )
