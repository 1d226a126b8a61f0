"""What M-Pesa's books say of a refund whose result did not come, or is to be confirmed.

They answer about the payment that it gives back or about its own transaction, and which one shows
in the receipt that they name.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from app.models import MpesaRequest, Refund, RefundKind, RefundState, RequestState, TaskKind
from app.services.records import Matter, file_task
from app.services.refunds.apply_result import ALREADY_REVERSED, apply_refund_result
from app.services.refunds.move_refund import Step, hold_refund, record_refund_event
from app.services.refunds.send_refund import find_money_request
from app.services.refunds.values import RefundNews, RefundVerdict
from app.utils.money import cents_to_wire

_SPEAK_OF_ANOTHER = ("0", ALREADY_REVERSED, "15")
"""Results that say that it was done, now or by an earlier request (15: a duplicate). Books that
show nothing of it contradict them, and prove nothing.
"""


class BookedState(StrEnum):
    """How a transaction stands in M-Pesa's books; MISSING is not in them, OPEN still moves."""

    COMPLETED = "completed"
    REVERSED = "reversed"
    FAILED = "failed"
    MISSING = "missing"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BookedFacts:
    """What M-Pesa's books say. ``receipt`` is of the transaction that they speak of, where they
    name it; ``asked_receipt`` the one that they were asked about, if it was by a receipt.
    """

    state: BookedState
    sentence: str
    result_code: str
    asked_at: datetime
    asked_receipt: str | None = None
    receipt: str | None = None
    amount_cents: int | None = None


def resolve_unknown(session: Session, refund_id: int, facts: BookedFacts, now: datetime) -> str:
    """Act on an answer about a refund; answers what became of it. No verdict moves nothing."""
    refund = hold_refund(session, refund_id).refund
    if refund.state == RefundState.SUCCEEDED:
        return _confirm(session, refund, facts, now)
    request = find_money_request(session, refund_id)
    verdict = _verdict_of(refund, request, facts)
    if verdict is RefundVerdict.NOBODY_KNOWS:
        return "no_verdict"
    is_own = facts.receipt != refund.receipt
    is_gone = verdict is RefundVerdict.WENT
    told_code = request.result_code if request is not None else None
    news = RefundNews(
        source="status",
        verdict=verdict,
        sentence=facts.sentence,
        # why it did not go is what its own result said, if one came
        result_code=facts.result_code if is_gone else told_code or facts.result_code,
        receipt=facts.receipt if is_own and is_gone else None,
        amount_cents=facts.amount_cents if is_own else None,
    )
    return apply_refund_result(session, refund_id, news, now)


def _verdict_of(refund: Refund, request: MpesaRequest | None, facts: BookedFacts) -> RefundVerdict:
    """That nothing is there means something only once M-Pesa was done with the request: what lies
    in its queue is not there yet.
    """
    is_done_with = (
        request is not None
        and request.state == RequestState.ANSWERED
        and request.result_code not in _SPEAK_OF_ANOTHER
        and request.answered_at is not None
        and request.answered_at <= facts.asked_at
    )
    not_there = RefundVerdict.DID_NOT_GO if is_done_with else RefundVerdict.NOBODY_KNOWS
    is_about_payment = facts.receipt == refund.receipt
    match facts.state:
        case BookedState.REVERSED if is_about_payment and refund.kind == RefundKind.REVERSAL:
            return RefundVerdict.WENT
        case BookedState.COMPLETED if is_about_payment:
            return not_there
        case BookedState.COMPLETED if facts.receipt is not None:
            return RefundVerdict.WENT
        case BookedState.FAILED if not is_about_payment:
            return RefundVerdict.DID_NOT_GO
        case BookedState.MISSING:
            return not_there
    return RefundVerdict.NOBODY_KNOWS


def _confirm(session: Session, refund: Refund, facts: BookedFacts, now: datetime) -> str:
    """The result was believed for the secret of its address; hold it against M-Pesa's books."""
    is_meant = facts.asked_receipt is not None and facts.asked_receipt == refund.refund_receipt
    if not is_meant or facts.state is BookedState.OPEN or refund.next_check_at is None:
        return "no_verdict"
    refund.next_check_at = refund.leased_until = None
    is_there = facts.state is BookedState.COMPLETED
    fits = is_there and facts.amount_cents in (None, refund.amount_cents)
    word = "confirmed" if fits else "contradicted"
    step = Step("status", detail=f"{word}: {facts.sentence}")
    record_refund_event(session, refund, refund.state, step, now)
    if not fits:
        _report_disputed(session, refund, facts, now)
    return word


def _report_disputed(session: Session, refund: Refund, facts: BookedFacts, now: datetime) -> None:
    file_task(
        session,
        Matter(
            kind=TaskKind.UNKNOWN_REFUND,
            title=f"M-Pesa's books do not show refund {refund.id} as it was reported",
            description=f"Its result named receipt {refund.refund_receipt} for"
            f" KES {cents_to_wire(refund.amount_cents)}, but asked about that M-Pesa answers:"
            f" {facts.sentence} Look it up on the statement. If it is not there, the result was"
            " forged and the customer still waits: give the money back in M-Pesa's portal, and note"
            " its receipt at the refund.",
            dedupe_key=f"disputed_refund:{refund.id}",
        ),
        now,
        order_id=refund.order_id,
        refund_id=refund.id,
        receipt=refund.receipt,
    )
    session.flush()
