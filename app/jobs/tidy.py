"""Throwing away what has served its time."""

from datetime import timedelta

from sqlalchemy import delete

from app.jobs.work import Work
from app.models import (
    IdempotencyKey,
    InboxMessage,
    InboxSource,
    LoginSession,
    Pace,
    RateCounter,
)
from app.services.basket import delete_old_guest_baskets
from app.services.heartbeats import forget_old_heartbeats
from app.services.probes import delete_old_probes
from app.services.request_payment import PHONE_PACE
from app.services.webhooks.deliveries import delete_old_events

_QUIET_PHONE = timedelta(days=1)
_STRANGERS_MAIL_IS_KEPT = timedelta(days=30)


def delete_expired_rows(work: Work) -> None:
    """Keys past their day, counters past their window, ended sign-ins, phones at rest, and after a
    month what strangers posted as callbacks and what guests left in their baskets, after three the
    webhooks of that time.
    """
    now = work.now()
    with work.database.transaction() as session:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))
        session.execute(
            delete(Pace).where(Pace.name.startswith(PHONE_PACE), Pace.next_at <= now - _QUIET_PHONE)
        )
        session.execute(delete(LoginSession).where(LoginSession.expires_at <= now))
        session.execute(
            delete(InboxMessage).where(
                InboxMessage.source == InboxSource.UNSIGNED_CALLBACK,
                InboxMessage.processed_at <= now - _STRANGERS_MAIL_IS_KEPT,
            )
        )
        delete_old_guest_baskets(session, now)
        delete_old_probes(session, now)
        forget_old_heartbeats(session, now)
        delete_old_events(session, now)
        session.execute(delete(RateCounter).where(RateCounter.expires_at <= now.timestamp()))
