"""Readings of M-Pesa's books as rows: which period each covers, and where the next one begins."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Order, StatementImport, StatementLine, StatementSource
from app.services.statements.lines import Tally

LATE_ROWS = timedelta(hours=6)
"""So late a payment may appear in M-Pesa's list: each pull looks that far back once more."""

_BEFORE_THE_FIRST_ORDER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From a moment to another, which does not belong to it any more."""

    since: datetime
    until: datetime

    def overlaps(self, other: "Span") -> bool:
        return self.since < other.until and other.since < self.until

    def holds(self, moment: datetime) -> bool:
        return self.since <= moment < self.until


@dataclass(frozen=True, slots=True)
class NewImport:
    """A reading that is about to begin."""

    source: StatementSource
    covers: Span
    file_name: str | None = None
    shortcode: str | None = None
    actor_id: int | None = None


def begin_import(session: Session, new: NewImport, now: datetime) -> StatementImport:
    """Put a reading on record. Until it is complete it covers nothing."""
    started = StatementImport(
        source=new.source,
        file_name=new.file_name,
        shortcode=new.shortcode,
        actor_id=new.actor_id,
        covers_from=new.covers.since,
        covers_to=new.covers.until,
        created_at=now,
    )
    session.add(started)
    session.flush()
    return started


def end_import(
    session: Session, import_id: int, tally: Tally, now: datetime, *, is_complete: bool
) -> StatementImport:
    """Write down what a reading brought. One that is not complete leaves its period open."""
    ended = session.get_one(StatementImport, import_id)
    ended.row_count = tally.lines
    ended.fresh_count = tally.fresh
    ended.different_count = tally.different
    ended.unreadable_count = tally.unreadable
    ended.finished_at = now if is_complete else None
    session.flush()
    return ended


def drop_if_nothing_new(session: Session, ended: StatementImport) -> StatementImport:
    """The same file once more is the same reading: its second row goes, and the first is answered.

    It is the same where it brought no line that was not there, and covers what the other covers.
    """
    if ended.fresh_count or ended.finished_at is None:
        return ended
    earlier = session.scalar(
        select(StatementImport)
        .where(
            StatementImport.id < ended.id,
            StatementImport.source == ended.source,
            StatementImport.covers_from == ended.covers_from,
            StatementImport.covers_to == ended.covers_to,
            StatementImport.shortcode.is_not_distinct_from(ended.shortcode),
            StatementImport.row_count == ended.row_count,
            StatementImport.unreadable_count == ended.unreadable_count,
            StatementImport.finished_at.is_not(None),
        )
        .order_by(StatementImport.id)
        .limit(1)
    )
    has_lines = session.scalar(
        select(StatementLine.id).where(StatementLine.import_id == ended.id).limit(1)
    )
    if earlier is None or has_lines is not None:
        return ended
    session.delete(ended)
    session.flush()
    return earlier


def pulled_until(session: Session) -> datetime | None:
    """The end of the last pull that was complete."""
    return session.scalar(
        select(func.max(StatementImport.covers_to)).where(
            StatementImport.source == StatementSource.PULL,
            StatementImport.finished_at.is_not(None),
        )
    )


def shop_began(session: Session) -> datetime | None:
    """When the shop's first order was placed, or a little before; money from before that cannot be
    for an order of its.
    """
    first = session.scalar(select(func.min(Order.created_at)))
    return first - _BEFORE_THE_FIRST_ORDER if first is not None else None


def join_spans(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few spans as can be, in order."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.since):
        if joined and span.since <= joined[-1].until:
            joined[-1] = Span(joined[-1].since, max(joined[-1].until, span.until))
        else:
            joined.append(span)
    return joined


def gaps_between(spans: Iterable[Span], whole: Span) -> list[Span]:
    """What of the whole lies in none of the spans."""
    gaps: list[Span] = []
    at = whole.since
    for span in join_spans(span for span in spans if span.overlaps(whole)):
        if span.since > at:
            gaps.append(Span(at, span.since))
        at = max(at, span.until)
    if at < whole.until:
        gaps.append(Span(at, whole.until))
    return gaps
