"""A statement that an administrator exported from M-Pesa's portal, taken in line by line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import BinaryIO

import structlog

from app.errors import Forbidden
from app.jobs.rules import mpesa_numbers
from app.jobs.take_lines import Reading, take_lines
from app.jobs.work import Work
from app.models import MoneySource, StatementImport, StatementSource
from app.policies import Actor
from app.services.reconciliation import file_differences, reconcile
from app.services.statements import (
    BookLine,
    LineFault,
    NewImport,
    Span,
    StatementFile,
    Tally,
    begin_import,
    drop_if_nothing_new,
    end_import,
    require_ours,
    shop_began,
    span_of,
)

MOST_LINES_SENT = 50_000
MOST_LINES = 1_000_000
BATCH = 200
_LONGEST_NAME = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StatementReport:
    """What a statement brought; ``statement`` is how it stands on record."""

    statement: StatementImport
    tally: Tally


def import_statement(
    work: Work,
    actor: Actor,
    file: BinaryIO,
    name: str | None = None,
    *,
    most_lines: int = MOST_LINES,
    on_progress: Callable[[int], object] = lambda _done: None,
) -> StatementReport:
    """Keep its lines, and count the money in it that the shop lacks; ``on_progress`` hears of
    lines done. The same statement once more changes nothing.

    Raises Forbidden, and InvalidInput, before anything is saved, for a file that is no statement
    of this shop. Lines that cannot be read are in the report.
    """
    if not actor.is_admin:
        raise Forbidden("Only administrators import M-Pesa's statement.")
    now = work.now()
    statement = StatementFile(file, name, most_lines)
    require_ours(statement.preamble, mpesa_numbers(work.config))
    span = span_of(statement.preamble, _movements(statement, now), now)
    reading = _begin(work, actor, statement, span, name)
    tally = Tally()
    entries = statement.entries(now)
    while batch := list(islice(entries, BATCH)):
        lines = [entry for entry in batch if isinstance(entry, BookLine)]
        for entry in batch:
            if isinstance(entry, LineFault):
                tally.refuse(entry)
        tally.passed_over += len(batch) - len(lines)
        take_lines(work, reading, lines, tally)
        on_progress(len(batch))
    tally.passed_over -= tally.unreadable
    return StatementReport(_end(work, reading, span, tally), tally)


def _movements(statement: StatementFile, now: datetime) -> Iterator[BookLine]:
    return (entry for entry in statement.entries(now) if isinstance(entry, BookLine))


def _begin(
    work: Work, actor: Actor, statement: StatementFile, span: Span, name: str | None
) -> Reading:
    new = NewImport(
        StatementSource.FILE,
        span,
        file_name=name[:_LONGEST_NAME] if name else None,
        shortcode=statement.preamble.shortcode,
        actor_id=actor.user_id or None,
    )
    with work.database.transaction() as session:
        started = begin_import(session, new, work.now())
        return Reading(started.id, MoneySource.STATEMENT, shop_began(session))


def _end(work: Work, reading: Reading, span: Span, tally: Tally) -> StatementImport:
    """Put the result on record; what the statement lacks of ours becomes a matter for a person."""
    now = work.now()
    with work.database.transaction() as session:
        ended = end_import(session, reading.import_id, tally, now, is_complete=not tally.unbooked)
        kept = drop_if_nothing_new(session, ended)
    with work.database.reading(may_pause=True) as session:
        report = reconcile(session, span, mpesa_numbers(work.config), now)
    with work.database.transaction() as session:
        file_differences(session, report, now)
    log.info(
        "statement_imported",
        import_id=kept.id,
        lines=tally.lines,
        fresh=tally.fresh,
        recovered=tally.recovered,
        unmatched=tally.unmatched,
        different=tally.different,
        unreadable=tally.unreadable,
    )
    return kept
