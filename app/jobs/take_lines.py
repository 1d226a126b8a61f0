"""Lines of M-Pesa's books, taken in: kept in one short transaction, and what they bring to light
counted in another for each.

What was committed stays when the process dies. The same lines taken again find themselves there,
and the register of receipts knows what was counted: nothing is counted twice, nor left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.jobs.work import Work
from app.models import MoneySource
from app.services.receive_money import Reception, receive_money
from app.services.statements import (
    BookLine,
    Tally,
    facts_of,
    keep_lines,
    lines_to_receive,
)

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
    """Keep lines, and count the money among them that we lack. No network is used."""
    with work.database.transaction() as session:
        tally.fresh += keep_lines(session, reading.import_id, lines, work.now())
        news = lines_to_receive(session, lines)
    tally.lines += len(lines)
    tally.kinds.update(line.kind for line in lines)
    for line in news:
        if reading.shop_began is None or line.transacted_at < reading.shop_began:
            tally.earlier += 1
        else:
            _receive(work, reading, line, tally)


def _receive(work: Work, reading: Reading, line: BookLine, tally: Tally) -> None:
    """One line's fault, which is ours, keeps no other line from being counted."""
    try:
        with work.database.transaction() as session:
            reception = receive_money(session, facts_of(line, reading.source), work.now())
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
