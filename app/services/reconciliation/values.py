"""What a comparison of M-Pesa's books with ours consists of."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.models import StatementSource
from app.services.statements import LATE_ROWS, Span

MOST_ROWS = 200
"""Rows that are named of each group; all are counted."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A reading of M-Pesa's books, and for which time it can say that something is not in them.

    A payment may appear in M-Pesa's list hours later: of the last hours before a pull it proves
    nothing yet.
    """

    import_id: int
    source: StatementSource
    span: Span
    made_at: datetime
    file_name: str | None = None
    shortcode: str | None = None
    unreadable: int = 0

    @property
    def proves(self) -> Span:
        if self.source is StatementSource.FILE:
            return self.span
        return Span(self.span.since, min(self.span.until, self.made_at - LATE_ROWS))


@dataclass(frozen=True, slots=True)
class Row:
    """Money that stands differently in the two books. ``ours_cents`` is empty where we lack it,
    ``theirs_cents`` where M-Pesa's books do; the owner is who has its task.
    """

    moved_at: datetime
    receipt: str | None = None
    ours_cents: int | None = None
    theirs_cents: int | None = None
    said: str | None = None
    payment_id: int | None = None
    refund_id: int | None = None
    order_id: int | None = None
    order_number: str | None = None
    task_id: int | None = None
    owner: str | None = None

    @property
    def cents(self) -> int:
        known = self.ours_cents if self.ours_cents is not None else self.theirs_cents
        return abs(known or 0)

    def age(self, now: datetime) -> timedelta:
        return max(timedelta(0), now - self.moved_at)

    def owned_by(self, task_id: int, owner: str | None) -> "Row":
        return replace(self, task_id=task_id, owner=owner)


@dataclass(slots=True)
class Group:
    """So many, so much, and the first of them row by row."""

    count: int = 0
    cents: int = 0
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Side:
    """How payments, or refunds, stand in the two books.

    ``missing_here`` is on M-Pesa's books alone, ``missing_there`` on ours alone though M-Pesa's
    cover its time, ``different`` in both with two amounts. ``awaited`` may still appear in
    M-Pesa's list; ``not_covered`` moved in a time of which no book of M-Pesa's was read.
    """

    matched: Group = field(default_factory=Group)
    missing_here: Group = field(default_factory=Group)
    missing_there: Group = field(default_factory=Group)
    different: Group = field(default_factory=Group)
    awaited: Group = field(default_factory=Group)
    not_covered: Group = field(default_factory=Group)

    @property
    def differs(self) -> bool:
        return bool(self.missing_here.count or self.missing_there.count or self.different.count)


@dataclass(slots=True)
class Report:
    """One period, compared at one moment."""

    span: Span
    made_at: datetime
    covers: list[Cover]
    gaps: list[Span]
    payments: Side
    refunds: Side
    unmatched: Group

    @property
    def unreadable(self) -> int:
        """Lines of the readings that nobody could read: each may be money."""
        return sum(cover.unreadable for cover in self.covers)

    @property
    def differs(self) -> bool:
        """Whether something does not match."""
        return self.payments.differs or self.refunds.differs

    @property
    def is_covered(self) -> bool:
        """Whether all of it could be compared. What was not is not fine: nobody knows."""
        return not (self.gaps or self.unreadable or self.refunds.not_covered.count)

    @property
    def is_clean(self) -> bool:
        return self.is_covered and not self.differs
