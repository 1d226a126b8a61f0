"""Signs of life of the workers: the doctor and whoever measures ask whether anybody sweeps."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.models import WorkerHeartbeat
from app.services.insert_once import insert_once

_FORGOTTEN_AFTER = timedelta(days=7)
_LONGEST_HOST = 255


def note_sweep(session: Session, host: str, now: datetime) -> None:
    """A worker on this host looks for due work now. Two on one host write the same row."""
    name = host[:_LONGEST_HOST]
    moved = session.execute(
        update(WorkerHeartbeat)
        .where(WorkerHeartbeat.host == name)
        .values(swept_at=now)
        .returning(WorkerHeartbeat.host)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        insert_once(session, WorkerHeartbeat, "host", {"host": name, "swept_at": now})


def list_heartbeats(session: Session) -> list[WorkerHeartbeat]:
    """One for each host, the latest first."""
    return list(session.scalars(select(WorkerHeartbeat).order_by(WorkerHeartbeat.swept_at.desc())))


def forget_old_heartbeats(session: Session, now: datetime) -> None:
    """Machines that are gone for good."""
    session.execute(
        delete(WorkerHeartbeat).where(WorkerHeartbeat.swept_at < now - _FORGOTTEN_AFTER)
    )
