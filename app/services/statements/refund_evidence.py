"""Money that M-Pesa's books show as gone back, and the refund of ours that each line proves.

The state of the refund alone decides, so that a line whose reading died half-way is acted on by
the next. Payouts prove a refund by the conversation that sent them, reversals by the payment that
they undo, and both by the receipt of a refund that is known already.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.models import (
    LineKind,
    MpesaRequest,
    Refund,
    RefundKind,
    RefundState,
    RequestKind,
)
from app.services.refunds import RefundNews, RefundVerdict
from app.services.statements.lines import BookLine

_OPEN = (RefundState.UNKNOWN, RefundState.PENDING, RefundState.CREATED)
_PROVABLE = (*_OPEN, RefundState.SUCCEEDED, RefundState.FAILED)
"""The likeliest first. What waits for approval or was rejected never asked M-Pesa for anything."""


def find_proofs(session: Session, lines: Sequence[BookLine]) -> list[tuple[int, RefundNews]]:
    """Refunds that these lines say something new of, and what they say."""
    gone = [line for line in lines if line.amount_cents < 0]
    undone = [line for line in gone if line.kind is LineKind.REVERSAL]
    sent = [line for line in gone if line.kind is LineKind.PAYOUT]
    proofs = [*_proofs_of_reversals(session, undone), *_proofs_of_payouts(session, sent)]
    return [
        (refund.id, _news_of(line)) for refund, line in proofs if _is_news(refund, line.receipt)
    ]


def _proofs_of_reversals(
    session: Session, lines: Sequence[BookLine]
) -> Iterable[tuple[Refund, BookLine]]:
    if not lines:
        return
    refunds = session.scalars(
        select(Refund).where(
            Refund.kind != RefundKind.PAYOUT,
            Refund.state.in_(_PROVABLE),
            or_(
                Refund.receipt.in_({line.linked_receipt for line in lines if line.linked_receipt}),
                Refund.refund_receipt.in_({line.receipt for line in lines}),
            ),
        )
    ).all()
    for line in lines:
        named = [one for one in refunds if one.refund_receipt == line.receipt]
        undoing = [one for one in refunds if one.receipt == line.linked_receipt]
        found = named or sorted(undoing, key=_likelihood)
        if found:
            yield found[0], line


def _likelihood(refund: Refund) -> tuple[int, int]:
    return _PROVABLE.index(RefundState(refund.state)), -refund.id


def _proofs_of_payouts(
    session: Session, lines: Sequence[BookLine]
) -> Iterable[tuple[Refund, BookLine]]:
    conversations = {line.conversation_id for line in lines if line.conversation_id}
    if not conversations:
        return
    found = session.execute(
        select(Refund, MpesaRequest.originator_id, MpesaRequest.conversation_id)
        .join(MpesaRequest, MpesaRequest.refund_id == Refund.id)
        .where(
            MpesaRequest.kind == RequestKind.PAYOUT,
            Refund.state.in_(_PROVABLE),
            or_(
                MpesaRequest.originator_id.in_(conversations),
                MpesaRequest.conversation_id.in_(conversations),
            ),
        )
    ).all()
    for line in lines:
        for refund, *ids in found:
            if line.conversation_id in ids and line.conversation_id is not None:
                yield refund, line


def _is_news(refund: Refund, receipt: str) -> bool:
    return refund.state != RefundState.SUCCEEDED or refund.refund_receipt != receipt


def _news_of(line: BookLine) -> RefundNews:
    return RefundNews(
        source="statement",
        verdict=RefundVerdict.WENT,
        sentence="M-Pesa's statement shows that the money went back.",
        receipt=line.receipt,
        amount_cents=-line.amount_cents,
        original_receipt=line.linked_receipt,
    )
