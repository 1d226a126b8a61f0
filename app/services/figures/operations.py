"""What an operator wants to be woken by: money that waits, mail unread, workers gone quiet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    MONEY_TASKS,
    InboxMessage,
    LedgerEvent,
    LedgerEventKind,
    Payment,
    Refund,
    Task,
    TaskStatus,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.services.heartbeats import list_heartbeats

RECENT = timedelta(hours=1)
_MOST_SETTLED = 1000


@dataclass(frozen=True, slots=True)
class Pile:
    """How many wait, and for how long the first of them has."""

    count: int = 0
    oldest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Operations:
    """The state of the work, the same from whichever machine it is read."""

    attempts: Mapping[str, Pile]
    """Payments without an end, by status: prompts that are out, and those nobody knows of."""
    refunds: Mapping[str, Pile]
    """Refunds without an end, by state."""
    payments_last_hour: Mapping[str, int]
    """Payments begun within the hour, by what has become of them."""
    settle_seconds: tuple[float, ...]
    """From hearing of money to having it in the books, of the last hour's payments, in order."""
    inbox: Pile
    money_tasks: Pile
    webhooks: Pile
    """Those that are due; one that waits for its next try is not late."""
    swept_seconds_ago: Mapping[str, float]
    """By the worker's host."""


def read_operations(session: Session, now: datetime) -> Operations:
    """A handful of queries, each over an index of what is open or recent."""
    return Operations(
        attempts=_open_ones(session, now, Payment.status, Payment.created_at, LIVE_STATES),
        refunds=_open_ones(session, now, Refund.state, Refund.created_at, LIVE_REFUNDS),
        payments_last_hour=_recent_payments(session, now),
        settle_seconds=_settle_seconds(session, now),
        inbox=_pile(session, InboxMessage.received_at, now, InboxMessage.processed_at.is_(None)),
        money_tasks=_pile(
            session,
            Task.created_at,
            now,
            Task.kind.in_(MONEY_TASKS),
            Task.status != TaskStatus.DONE,
        ),
        webhooks=_pile(
            session,
            WebhookDelivery.next_attempt_at,
            now,
            # by endpoint, as the index has them
            WebhookDelivery.endpoint_id.in_(select(WebhookEndpoint.id)),
            WebhookDelivery.next_attempt_at <= now,
        ),
        swept_seconds_ago={
            one.host: max(0.0, (now - one.swept_at).total_seconds())
            for one in list_heartbeats(session)
        },
    )


def _pile(
    session: Session,
    since: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None],
    now: datetime,
    *which: ColumnElement[bool],
) -> Pile:
    count, first = session.execute(select(func.count(), func.min(since)).where(*which)).one()
    return Pile(count, _age(first, now))


def _open_ones(
    session: Session,
    now: datetime,
    state: InstrumentedAttribute[str],
    since: InstrumentedAttribute[datetime],
    live: Sequence[str],
) -> Mapping[str, Pile]:
    rows = session.execute(
        select(state, func.count(), func.min(since)).where(state.in_(live)).group_by(state)
    )
    open_ones = {one: Pile(count, _age(first, now)) for one, count, first in rows}
    return {one: open_ones.get(one, Pile()) for one in live}


def _recent_payments(session: Session, now: datetime) -> Mapping[str, int]:
    rows = session.execute(
        select(Payment.status, func.count())
        .where(Payment.created_at > now - RECENT)
        .group_by(Payment.status)
    )
    return dict(rows.all())


def _settle_seconds(session: Session, now: datetime) -> tuple[float, ...]:
    booked = (
        select(LedgerEvent.payment_id, LedgerEvent.created_at)
        .where(
            LedgerEvent.kind == LedgerEventKind.PAYMENT,
            LedgerEvent.created_at > now - RECENT,
            LedgerEvent.payment_id.is_not(None),
        )
        .order_by(LedgerEvent.created_at.desc())
        .limit(_MOST_SETTLED)
        .subquery()
    )
    heard = (
        select(func.min(InboxMessage.received_at))
        .where(InboxMessage.payment_id == booked.c.payment_id)
        .scalar_subquery()
    )
    rows = session.execute(select(booked.c.created_at, heard.label("heard")))
    return tuple(
        sorted(max(0.0, (at - first).total_seconds()) for at, first in rows if first is not None)
    )


def _age(first: datetime | None, now: datetime) -> float:
    return max(0.0, (now - first).total_seconds()) if first is not None else 0.0
