"""One row for each thing that all processes do in turn: whoever holds its lock goes first."""

from datetime import datetime

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
