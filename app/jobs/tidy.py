"""Throwing away what has served its time."""

from datetime import timedelta

from sqlalchemy import delete

from app.jobs.work import Work
from app.models import IdempotencyKey, Pace, RateCounter
from app.services.request_payment import PHONE_PACE

_QUIET_PHONE = timedelta(days=1)


def delete_expired_rows(work: Work) -> None:
    """Idempotency keys past their day, counters past their window, phones at rest."""
    now = work.now()
    with work.database.transaction() as session:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))
        session.execute(
            delete(Pace).where(Pace.name.startswith(PHONE_PACE), Pace.next_at <= now - _QUIET_PHONE)
        )
        session.execute(delete(RateCounter).where(RateCounter.expires_at <= now.timestamp()))
