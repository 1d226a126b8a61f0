"""Rows with a due time, each taken by one worker for a while; a dead worker's come back."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from app.models import Payment, Refund

Leased = type[Payment] | type[Refund]


def claim_due(
    session: Session,
    model: Leased,
    now: datetime,
    *,
    limit: int,
    lease_seconds: float,
    first: ColumnElement[bool] | None = None,
) -> list[int]:
    """Take rows whose check is due, those that are ``first`` before all others, else the longest
    due first; answers their ids.
    """
    order = [model.next_check_at] if first is None else [first.desc(), model.next_check_at]
    due = session.scalars(
        select(model.id)
        .where(model.next_check_at <= now, _is_free(model, now))
        .order_by(*order)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    return [row_id for row_id in due if claim_one(session, model, row_id, now, lease_seconds)]


def claim_one(
    session: Session, model: Leased, row_id: int, now: datetime, lease_seconds: float
) -> bool:
    """Take one row if its check is due and nobody else has it."""
    taken = session.execute(
        update(model)
        .where(model.id == row_id, model.next_check_at <= now, _is_free(model, now))
        .values(leased_until=now + timedelta(seconds=lease_seconds))
        .returning(model.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return taken is not None


def give_back(session: Session, model: Leased, row_id: int, until: datetime | None) -> None:
    """Give a row back that was taken, to be looked at later, or no more."""
    session.execute(
        update(model)
        .where(model.id == row_id)
        .values(next_check_at=until, leased_until=None)
        .execution_options(synchronize_session=False)
    )


def _is_free(model: Leased, now: datetime) -> ColumnElement[bool]:
    return or_(model.leased_until.is_(None), model.leased_until <= now)
