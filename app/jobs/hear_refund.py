"""What M-Pesa answers to a refund and to questions about one, in the terms of our services."""

from functools import partial

from sqlalchemy.orm import Session

from app.integrations.mpesa import (
    ApiResult,
    MerchantResultCode,
    TransactionFacts,
    UnreadableMessage,
    explain_merchant_result,
    read_moved_cents,
    read_transaction_facts,
)
from app.jobs.heard import Heard, Listener
from app.jobs.refunds import check_refund
from app.jobs.work import Work
from app.models import MpesaRequest, RequestKind
from app.services.refunds import (
    BookedFacts,
    BookedState,
    RefundNews,
    RefundVerdict,
    apply_refund_result,
    hold_refund,
    resolve_unknown,
)
from app.services.request_reports import report_refused_settings

NO_SUCH_TRANSACTION = "2032"
_FAILED_WORDS = ("fail", "cancel", "declin", "expire", "reject")


def _lock(session: Session, request: MpesaRequest) -> None:
    hold_refund(session, _refund_of(request))


def _hear_result(session: Session, work: Work, request: MpesaRequest, result: ApiResult) -> Heard:
    """The result of a reversal or a payout."""
    news = _went(result) if result.claims_success else _did_not_go(result)
    return _apply(session, work, request, news)


def _hear_state(session: Session, work: Work, request: MpesaRequest, result: ApiResult) -> Heard:
    """The answer to a question about one."""
    facts = _facts_of(request, result)
    if not result.claims_success:
        meaning = explain_merchant_result(result.result_code)
        if meaning.our_fault:
            report_refused_settings(session, meaning.code, meaning.meaning, work.now())
    if facts is None:
        return Heard("no_verdict")
    return Heard(resolve_unknown(session, _refund_of(request), facts, work.now()))


def _hear_no_result(session: Session, work: Work, request: MpesaRequest, reason: str) -> Heard:
    news = RefundNews("silence", RefundVerdict.NOBODY_KNOWS, reason)
    return _apply(session, work, request, news)


def _hear_no_state(_session: Session, _work: Work, _request: MpesaRequest, _reason: str) -> Heard:
    """A question that was not answered is asked again when the refund is due."""
    return Heard("no_verdict")


MONEY_MOVED = Listener(lock=_lock, heard=_hear_result, silenced=_hear_no_result)
STATE_ASKED = Listener(lock=_lock, heard=_hear_state, silenced=_hear_no_state)


def _apply(session: Session, work: Work, request: MpesaRequest, news: RefundNews) -> Heard:
    refund_id = _refund_of(request)
    outcome = apply_refund_result(session, refund_id, news, work.now())
    is_asked = outcome == "unknown"
    return Heard(outcome, partial(check_refund, refund_id=refund_id) if is_asked else None)


def _went(result: ApiResult) -> RefundNews:
    return RefundNews(
        source="result",
        verdict=RefundVerdict.WENT,
        sentence="M-Pesa gave the money back.",
        result_code=result.result_code,
        receipt=result.receipt,
        amount_cents=read_moved_cents(result),
        original_receipt=result.parameters.get("OriginalTransactionID") or None,
    )


def _did_not_go(result: ApiResult) -> RefundNews:
    meaning = explain_merchant_result(result.result_code)
    return RefundNews(
        source="result",
        verdict=_verdict_of(meaning),
        sentence=meaning.meaning,
        result_code=meaning.code,
        our_fault=meaning.our_fault,
    )


def _verdict_of(meaning: MerchantResultCode) -> RefundVerdict:
    is_known = meaning.final and not meaning.already_reversed
    return RefundVerdict.DID_NOT_GO if is_known else RefundVerdict.NOBODY_KNOWS


def _facts_of(request: MpesaRequest, result: ApiResult) -> BookedFacts | None:
    """What M-Pesa's books say; None where they say nothing of a transaction."""
    if result.result_code == NO_SUCH_TRANSACTION:
        return BookedFacts(
            state=BookedState.MISSING,
            sentence=f"M-Pesa knows no such transaction: {result.result_desc}",
            result_code=result.result_code,
            asked_at=request.created_at,
            asked_receipt=request.receipt,
        )
    try:
        facts = read_transaction_facts(result)
    except UnreadableMessage:
        return None
    return BookedFacts(
        state=_state_of(facts),
        sentence=f"M-Pesa's books say: {facts.status}.",
        result_code=result.result_code,
        asked_at=request.created_at,
        asked_receipt=request.receipt,
        receipt=facts.receipt,
        amount_cents=facts.amount_cents,
    )


def _state_of(facts: TransactionFacts) -> BookedState:
    if facts.is_completed:
        return BookedState.COMPLETED
    if facts.is_reversed:
        return BookedState.REVERSED
    lowered = facts.status.lower()
    is_failed = any(word in lowered for word in _FAILED_WORDS)
    return BookedState.FAILED if is_failed else BookedState.OPEN


def _refund_of(request: MpesaRequest) -> int:
    if request.refund_id is None:
        raise RuntimeError(f"Request {request.id} ({RequestKind(request.kind)}) is of no refund.")
    return request.refund_id
