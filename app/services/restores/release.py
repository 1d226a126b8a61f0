"""Letting refunds go again after a restore: when M-Pesa's books of the time that the shop forgot
were read, and everything that went out on them stands here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import (
    LineKind,
    Refund,
    RefundKind,
    RefundState,
    Restore,
    StatementLine,
    Task,
)
from app.services.reconciliation.covers import covers_of_payouts, covers_of_refunds, read_covers
from app.services.reconciliation.refunds import IS_KNOWN
from app.services.records import solve_tasks
from app.services.restores.precautions import task_key
from app.services.statements import Numbers, Span, gaps_between

BEFORE = timedelta(minutes=10)
"""M-Pesa's clock and ours differ a little."""

AFTER = timedelta(minutes=15)
"""So long a request that the shop sent before it was stopped may have lain in M-Pesa's queue."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What keeps refunds held: the time of which no statement was read, and what went out that
    no refund here stands for.
    """

    span: Span
    gaps: Sequence[Span]
    lines: Sequence[StatementLine]

    @property
    def is_clear(self) -> bool:
        return not self.gaps and not self.lines


def held_restores(session: Session) -> Sequence[Restore]:
    """The restores that hold refunds, the oldest first."""
    return session.scalars(
        select(Restore).where(Restore.refunds_released_at.is_(None)).order_by(Restore.id)
    ).all()


def find_forgotten(session: Session, restore: Restore, numbers: Numbers) -> Forgotten:
    """What is to be known of the time that the shop forgot, and is not yet. Changes nothing."""
    span = Span(restore.backup_made_at - BEFORE, restore.restored_at + AFTER)
    covers = read_covers(session, span)
    gaps = [
        gap
        for readings in (covers_of_refunds(covers, numbers), covers_of_payouts(covers, numbers))
        for gap in gaps_between([cover.span for cover in readings], span)
    ]
    lines = session.scalars(
        select(StatementLine)
        .where(
            StatementLine.kind.in_((LineKind.REVERSAL, LineKind.PAYOUT)),
            StatementLine.amount_cents < 0,
            StatementLine.transacted_at >= span.since,
            StatementLine.transacted_at < span.until,
            ~IS_KNOWN,
        )
        .order_by(StatementLine.transacted_at, StatementLine.id)
    ).all()
    return Forgotten(span, list(dict.fromkeys(gaps)), lines)


def release_refunds(
    session: Session,
    numbers: Numbers,
    now: datetime,
    *,
    actor_id: int | None = None,
    although: str | None = None,
) -> int:
    """Let refunds go again; answers how many wait to be sent.

    ``although`` is why, where what was forgotten is not all known. Raises Conflict where it is not
    and nobody says why, and where nothing is held.
    """
    restores = session.scalars(
        select(Restore)
        .where(Restore.refunds_released_at.is_(None))
        .order_by(Restore.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if not restores:
        raise Conflict("No refund is held.", code="refunds_not_held")
    is_clear = all(find_forgotten(session, one, numbers).is_clear for one in restores)
    if not is_clear and although is None:
        raise Conflict(
            "Not everything is known that went out since the backup: refunds stay held.",
            code="refunds_stay_held",
        )
    reason = although or "M-Pesa's statement was read, and all that went out on it stands here."
    for one in restores:
        one.refunds_released_at, one.released_by, one.release_reason = now, actor_id, reason[:500]
    keys = Task.dedupe_key.in_([task_key(one) for one in restores])
    solve_tasks(session, keys, "released", reason, now, actor_id=actor_id)
    return _send_what_waits(session, now)


def _send_what_waits(session: Session, now: datetime) -> int:
    due = session.execute(
        update(Refund)
        .where(
            Refund.state == RefundState.CREATED,
            Refund.kind != RefundKind.BY_HAND,
            Refund.next_check_at.is_not(None),
        )
        .values(next_check_at=now)
        .returning(Refund.id)
        .execution_options(synchronize_session=False)
    )
    return len(due.all())
