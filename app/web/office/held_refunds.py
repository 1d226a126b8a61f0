"""Refunds that are held since a restore: what the page says of that."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.context import current_config
from app.db import reading
from app.jobs.rules import mpesa_numbers
from app.models import StatementLine
from app.services.restores import find_forgotten, held_restores
from app.services.statements import Numbers, Span

_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Hold:
    """Since when refunds are held, the time that the shop forgot, and what of it is not known."""

    since: datetime
    forgot: Span
    gaps: list[Span]
    lines: list[StatementLine]
    line_count: int

    @property
    def is_clear(self) -> bool:
        return not self.gaps and not self.line_count


def find_hold() -> Hold | None:
    """What holds refunds, or None."""
    with reading() as session:
        return _hold_of(session, mpesa_numbers(current_config()))


def _hold_of(session: Session, numbers: Numbers) -> Hold | None:
    restores = held_restores(session)
    if not restores:
        return None
    found = [find_forgotten(session, one, numbers) for one in restores]
    gaps = dict.fromkeys(gap for one in found for gap in one.gaps)
    lines = {line.id: line for one in found for line in one.lines}
    return Hold(
        since=restores[0].restored_at,
        forgot=Span(min(one.span.since for one in found), max(one.span.until for one in found)),
        gaps=list(gaps),
        lines=list(lines.values())[:_MOST_SHOWN],
        line_count=len(lines),
    )
