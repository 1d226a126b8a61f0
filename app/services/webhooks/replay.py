"""Sending again, and for the first time what an endpoint missed; each event keeps its id."""

from datetime import datetime

from sqlalchemy import ColumnElement, exists, insert, literal, or_, select, update
from sqlalchemy.orm import Session

from app.db import ring_after_commit
from app.errors import Conflict
from app.models import DeliveryState, WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.policies import Actor
from app.services.webhooks.deliveries import find_delivery
from app.services.webhooks.emit import JOB, add_delivery, keep_event
from app.services.webhooks.endpoints import lock_endpoint, require_enabled
from app.services.webhooks.event_types import TEST


def send_test(session: Session, actor: Actor, endpoint_id: int, now: datetime) -> WebhookDelivery:
    """Have an event sent that tells of nothing. Raises NotFound, Conflict for a disabled one."""
    endpoint = lock_endpoint(session, endpoint_id)
    require_enabled(endpoint)
    data = {"message": "It works", "webhook_id": endpoint.id, "user_id": actor.user_id}
    event = keep_event(session, TEST, data, now)
    endpoint.paused_until = None
    return add_delivery(session, endpoint.id, event, now)


def replay_delivery(
    session: Session, endpoint_id: int, delivery_id: int, now: datetime
) -> WebhookDelivery:
    """Send one again now, and if need be on the whole schedule, whatever became of it before.

    Raises NotFound, Conflict for a disabled endpoint and for a delivery that is being sent.
    """
    endpoint = lock_endpoint(session, endpoint_id)
    require_enabled(endpoint)
    find_delivery(session, endpoint_id, delivery_id)
    if _begin_again(session, endpoint, WebhookDelivery.id == delivery_id, now) == 0:
        raise Conflict("It is being sent right now.", code="delivery_under_way")
    endpoint.paused_until = None
    ring_after_commit(session, JOB, endpoint_id)
    return find_delivery(session, endpoint_id, delivery_id)


def replay_since(
    session: Session,
    endpoint_id: int,
    since: datetime,
    now: datetime,
    *,
    include_delivered: bool = False,
) -> int:
    """Send every event from a moment on that the endpoint wants and has not got; answers how many.

    Also what was never sent there, because it was disabled or not there yet. What waits for its
    next attempt is hastened. ``include_delivered``: what arrived as well. Raises NotFound, and
    Conflict for a disabled endpoint.
    """
    endpoint = lock_endpoint(session, endpoint_id)
    require_enabled(endpoint)
    wanted = (WebhookEvent.created_at >= since) & _is_wanted_by(endpoint)
    again: ColumnElement[bool] = WebhookDelivery.event_id.in_(select(WebhookEvent.id).where(wanted))
    if not include_delivered:
        again &= WebhookDelivery.state != DeliveryState.DELIVERED
    count = _begin_again(session, endpoint, again, now)
    count += _add_missing(session, endpoint, wanted, now)
    endpoint.paused_until = None
    session.flush()
    ring_after_commit(session, JOB, endpoint_id)
    return count


def _begin_again(
    session: Session, endpoint: WebhookEndpoint, which: ColumnElement[bool], now: datetime
) -> int:
    """A new round for these deliveries of the endpoint, as far as nobody is sending them."""
    begun = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == endpoint.id,
            or_(WebhookDelivery.leased_until.is_(None), WebhookDelivery.leased_until <= now),
            which,
        )
        .values(
            state=DeliveryState.PENDING,
            attempt_count=0,
            next_attempt_at=now,
            leased_until=None,
            delivered_at=None,
            updated_at=now,
        )
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(begun).all())


def _add_missing(
    session: Session, endpoint: WebhookEndpoint, wanted: ColumnElement[bool], now: datetime
) -> int:
    """Whoever emits meanwhile commits event and delivery at once: neither is seen alone."""
    sent = exists().where(
        WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.event_id == WebhookEvent.id
    )
    columns = ["endpoint_id", "event_id", "state", "attempt_count", "next_attempt_at"]
    columns += ["created_at", "updated_at"]
    missing = select(
        literal(endpoint.id),
        WebhookEvent.id,
        literal(DeliveryState.PENDING.value),
        literal(0),
        *[literal(now, WebhookDelivery.created_at.type)] * 3,
    ).where(wanted, ~sent)
    added = insert(WebhookDelivery).from_select(columns, missing).returning(WebhookDelivery.id)
    return len(session.execute(added).all())


def _is_wanted_by(endpoint: WebhookEndpoint) -> ColumnElement[bool]:
    if endpoint.event_types is None:
        return WebhookEvent.type != TEST
    return WebhookEvent.type.in_(endpoint.event_types)
