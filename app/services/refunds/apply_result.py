"""What M-Pesa's news of a refund do: its result, or the state of its transaction.

They may come twice, late, out of order or side by side; money wins, and nothing is counted twice.
"""

from datetime import datetime, timedelta

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from app.models import Refund, RefundEvent, RefundKind, RefundState, TaskKind
from app.services.records import Matter, file_task
from app.services.refunds.finish_refund import (
    contradict,
    fail,
    find_obstacle,
    report_unasked_reversal,
    succeed,
)
from app.services.refunds.move_refund import (
    HeldRefund,
    Step,
    hold_refund,
    move_refund,
    record_refund_event,
)
from app.services.refunds.values import RefundNews, RefundVerdict
from app.services.request_reports import report_refused_settings
from app.utils.money import cents_to_wire

CONFIRM_AFTER = timedelta(minutes=1)
ALREADY_REVERSED = "R000001"
_OPEN = (RefundState.CREATED, RefundState.PENDING, RefundState.UNKNOWN)


def apply_refund_result(session: Session, refund_id: int, news: RefundNews, now: datetime) -> str:
    """Act on news of a refund; answers what became of them."""
    held = hold_refund(session, refund_id)
    if news.our_fault:
        report_refused_settings(session, news.result_code, news.sentence, now)
    match news.verdict:
        case RefundVerdict.WENT:
            return _hear_success(session, held, news, now)
        case RefundVerdict.DID_NOT_GO:
            return _hear_failure(session, held.refund, news, now)
        case _:
            return _hear_nothing(session, held.refund, news, now)


def _hear_success(session: Session, held: HeldRefund, news: RefundNews, now: datetime) -> str:
    refund = held.refund
    if refund.state == RefundState.SUCCEEDED:
        return _hear_success_again(session, refund, news, now)
    if refund.state not in (*_OPEN, RefundState.FAILED):
        raise RuntimeError(f"Refund {refund.id} is {refund.state} and was never sent.")
    obstacle = _find_misfit(refund, news) or find_obstacle(session, held, news.receipt)
    if obstacle:
        contradict(session, held, news.source, obstacle, now)
        return "contradicted"
    is_unasked = refund.result_code == ALREADY_REVERSED and not _may_be_ours(session, refund)
    succeed(
        session,
        held,
        Step(news.source, detail=news.receipt or news.sentence),
        now,
        refund_receipt=news.receipt,
        result_code=news.result_code,
        sentence=news.sentence[:300],
        confirm_at=now + CONFIRM_AFTER if news.source == "result" and news.receipt else None,
    )
    if is_unasked:
        report_unasked_reversal(session, refund, now)
    return "refunded"


def _hear_success_again(session: Session, refund: Refund, news: RefundNews, now: datetime) -> str:
    """It is booked; a receipt that was not known yet is noted, another one is for a person."""
    if news.receipt is None or news.receipt == refund.refund_receipt:
        return "already_refunded"
    if refund.refund_receipt is not None:
        return _report_second_receipt(session, refund, news, now)
    taken = exists().where(Refund.refund_receipt == news.receipt)
    if not session.scalar(select(taken)):
        refund.refund_receipt = news.receipt
        refund.updated_at = now
        step = Step(news.source, detail=f"its receipt is {news.receipt}")
        record_refund_event(session, refund, refund.state, step, now)
    return "already_refunded"


def _hear_failure(session: Session, refund: Refund, news: RefundNews, now: datetime) -> str:
    if refund.state not in _OPEN:
        return "already_final"
    fail(session, refund, news, now)
    return "failed"


def _hear_nothing(session: Session, refund: Refund, news: RefundNews, now: datetime) -> str:
    """Nobody knows: the state of the transaction is asked for at once, and nothing sent again."""
    if refund.state not in _OPEN:
        return "already_final"
    refund.next_check_at, refund.leased_until = now, None
    refund.result_code = news.result_code or refund.result_code
    refund.result_desc = news.sentence[:300]
    refund.updated_at = now
    session.flush()
    if refund.state != RefundState.UNKNOWN:
        step = Step(news.source, detail=f"{news.result_code or 'no code'}: {news.sentence}")
        move_refund(session, refund, RefundState.UNKNOWN, step, now)
    return "unknown"


def _find_misfit(refund: Refund, news: RefundNews) -> str | None:
    if news.original_receipt not in (None, refund.receipt):
        return f"It says so of receipt {news.original_receipt}, which we did not ask about."
    if news.amount_cents not in (None, refund.amount_cents):
        return f"It says that the amount was KES {cents_to_wire(news.amount_cents or 0)}."
    return None


def _may_be_ours(session: Session, refund: Refund) -> bool:
    """Whether a request of ours, of which nobody knew what became of it, may have reversed the
    payment: this refund's own before its result, or that of one before it.
    """
    other = aliased(Refund)
    before = (
        select(RefundEvent.id)
        .join(other, other.id == RefundEvent.refund_id)
        .where(
            other.receipt == refund.receipt,
            other.kind == RefundKind.REVERSAL,
            RefundEvent.to_state == RefundState.UNKNOWN,
            (other.id != refund.id) | (RefundEvent.source != "result"),
        )
    )
    return bool(session.scalar(select(before.exists())))


def _report_second_receipt(
    session: Session, refund: Refund, news: RefundNews, now: datetime
) -> str:
    file_task(
        session,
        Matter(
            kind=TaskKind.RECEIPT_CONFLICT,
            title=f"Refund {refund.id} was reported with two receipts",
            description=f"{refund.refund_receipt} was booked; {news.receipt} came later. If the"
            " M-Pesa statement shows both, the money went back twice.",
            dedupe_key=f"two_refund_receipts:{refund.id}:{news.receipt}",
        ),
        now,
        order_id=refund.order_id,
        refund_id=refund.id,
        receipt=refund.receipt,
    )
    session.flush()
    return "receipt_conflict"
