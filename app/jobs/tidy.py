"""Throwing away what has served its time."""

from sqlalchemy import delete

from app.jobs.work import Work
from app.models import IdempotencyKey, RateCounter


def delete_expired_rows(work: Work) -> None:
    """Idempotency keys past their day, counters past their window."""
    now = work.now()
    with work.database.transaction() as session:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))
        session.execute(delete(RateCounter).where(RateCounter.expires_at <= now.timestamp()))
