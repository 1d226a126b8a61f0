"""One row for each thing that all processes do in turn: whoever holds its lock goes first."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Pace
from app.services.insert_once import insert_once


def lock_pace(session: Session, name: str, now: datetime) -> Pace:
    """The pace of this name, made if it is new, and ours until the transaction ends."""
    locked = (
        select(Pace)
        .where(Pace.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    while (pace := session.scalar(locked)) is None:
        insert_once(session, Pace, "name", {"name": name, "next_at": now})
    return pace


def is_due(session: Session, name: str, now: datetime) -> bool:
    """Whether it is time; a look that locks nothing."""
    next_at = session.scalar(select(Pace.next_at).where(Pace.name == name))
    return next_at is None or next_at <= now


def claim_pace(session: Session, name: str, now: datetime, lease_seconds: float) -> bool:
    """Whether it is time, and the caller's to do: until the lease is over nobody else's.

    The caller says by ``move_pace`` when it is time again; one that dies loses the lease.
    """
    pace = lock_pace(session, name, now)
    if pace.next_at > now:
        return False
    pace.next_at = now + timedelta(seconds=lease_seconds)
    session.flush()
    return True


def move_pace(session: Session, name: str, next_at: datetime, now: datetime) -> None:
    """Say when it is time again."""
    lock_pace(session, name, now).next_at = next_at
    session.flush()
