"""How far a reading of M-Pesa's list has come, and which one is gone on with.

Each reading writes its own row alone, so that two at once disturb none: who goes on begins a
reading of his own at the place of the other.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models import StatementImport, StatementSource
from app.services.statements.imports import Span
from app.services.statements.lines import Tally


@dataclass(frozen=True, slots=True)
class Place:
    """So many rows of a list are behind it, the last of which has this receipt. A list that does
    not show it there is another one by now.
    """

    rows: int = 0
    receipt: str | None = None

    @property
    def is_the_beginning(self) -> bool:
        return self.rows == 0


BEGINNING = Place()


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A reading that came so far in its period, and what it had counted until there."""

    span: Span
    place: Place
    tally: Tally


def note_place(session: Session, import_id: int, place: Place, tally: Tally) -> None:
    """What is before this place was taken: nobody has to read it again.

    Only after it was, since what is behind a place that is noted is never asked for again.
    """
    session.execute(
        update(StatementImport)
        .where(StatementImport.id == import_id, StatementImport.finished_at.is_(None))
        .values(
            place=place.rows,
            place_receipt=place.receipt,
            row_count=tally.lines,
            fresh_count=tally.fresh,
            different_count=tally.different,
        )
    )


def find_broken_off(
    session: Session, shortcode: str, due: datetime, earliest: datetime
) -> BrokenOff | None:
    """The reading that the next one goes on with: the newest one that ought to have read what is
    due, if it has a place, and all of its period is shown still.
    """
    newest = session.scalar(
        select(StatementImport)
        .where(
            StatementImport.source == StatementSource.PULL,
            StatementImport.shortcode == shortcode,
            StatementImport.covers_from <= due,
            StatementImport.covers_to > due,
        )
        .order_by(StatementImport.id.desc())
        .limit(1)
    )
    if newest is None or newest.finished_at is not None or newest.covers_from < earliest:
        return None
    place = Place(newest.place, newest.place_receipt)
    if place.is_the_beginning:
        return None
    counted = Tally(newest.row_count, newest.fresh_count, different=newest.different_count)
    return BrokenOff(Span(newest.covers_from, newest.covers_to), place, counted)
