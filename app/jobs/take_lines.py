"""Lines of M-Pesa's books, taken in: kept in one short transaction, and what they bring to light
counted in another for each.

What was committed stays when the process dies. The same lines taken again find themselves there,
and the register of receipts knows what was counted: nothing is counted twice, nor left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.jobs.work import Work
from app.models import MoneySource
from app.services.receipts import ReceiptFacts
from app.services.receive_money import Reception, receive_money
from app.services.refunds import RefundNews, apply_refund_result
from app.services.statements import (
    BookLine,
    Tally,
    facts_of,
    find_proofs,
    find_undone,
    keep_lines,
    lines_to_receive,
)
from app.services.unmatched_money import keep_unmatched

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading that lines belong to. ``shop_began``: what moved before that is no business of
    an order; without any order, nothing is.
    """

    import_id: int
    source: MoneySource
    shop_began: datetime | None


def take_lines(work: Work, reading: Reading, lines: Sequence[BookLine], tally: Tally) -> None:
    """Keep lines, count the money among them that we lack, and end the refunds that they prove.

    No network is used.
    """
    with work.database.transaction() as session:
        tally.fresh += keep_lines(session, reading.import_id, lines, work.now())
        news = lines_to_receive(session, lines)
        undone = find_undone(session, news)
        proofs = find_proofs(session, lines)
    tally.lines += len(lines)
    tally.kinds.update(line.kind for line in lines)
    for line in news:
        if reading.shop_began is None or line.transacted_at < reading.shop_began:
            tally.earlier += 1
        else:
            _receive(work, reading, line, tally, is_undone=line.receipt in undone)
    for refund_id, proof in proofs:
        _prove(work, refund_id, proof, tally)


def _receive(
    work: Work, reading: Reading, line: BookLine, tally: Tally, *, is_undone: bool
) -> None:
    """One line's fault, which is ours, keeps no other line from being counted."""
    count = _keep_apart if is_undone else receive_money
    try:
        with work.database.transaction() as session:
            reception = count(session, facts_of(line, reading.source), work.now())
    except Exception:
        log.exception("line_not_booked", receipt=line.receipt, import_id=reading.import_id)
        tally.unbooked += 1
        return
    if reception in (Reception.SETTLED, Reception.BOOKED):
        tally.recovered += 1
        tally.recovered_cents += line.amount_cents
    elif reception is Reception.UNMATCHED:
        tally.unmatched += 1
        tally.unmatched_cents += line.amount_cents
    elif reception is Reception.DIFFERENT:
        tally.different += 1
    if reception is not Reception.KNOWN:
        log.info("money_found", receipt=line.receipt, source=reading.source, outcome=reception)


def _keep_apart(session: Session, facts: ReceiptFacts, now: datetime) -> Reception:
    """Money that came and went back again before we heard of it pays for no order."""
    is_new = keep_unmatched(session, facts, now)
    return Reception.UNMATCHED if is_new else Reception.KNOWN


def _prove(work: Work, refund_id: int, proof: RefundNews, tally: Tally) -> None:
    try:
        with work.database.transaction() as session:
            outcome = apply_refund_result(session, refund_id, proof, work.now())
    except Exception:
        log.exception("refund_not_proven", refund_id=refund_id, receipt=proof.receipt)
        tally.unbooked += 1
        return
    tally.refunds += outcome == "refunded"
    log.info("refund_proven", refund_id=refund_id, receipt=proof.receipt, outcome=outcome)
