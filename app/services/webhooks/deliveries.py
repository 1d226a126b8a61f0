"""What was sent, what is on its way, and all that came back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session, joinedload

from app.errors import NotFound
from app.models import (
    DeliveryState,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.webhooks.endpoints import find_endpoint

KEPT_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class DeliveryFile:
    """A delivery with its event and every attempt, the latest first."""

    delivery: WebhookDelivery
    attempts: Sequence[WebhookAttempt]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; what is None does not matter."""

    type: str | None = None
    order_id: int | None = None
    payment_id: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def list_deliveries(
    session: Session, endpoint_id: int, state: DeliveryState | None, page: PageRequest
) -> Page[WebhookDelivery]:
    """An endpoint's, newest first, each with its event. Raises NotFound."""
    find_endpoint(session, endpoint_id)
    statement = (
        select(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id)
        .options(joinedload(WebhookDelivery.event))
    )
    if state is not None:
        statement = statement.where(WebhookDelivery.state == state)
    return paginate(session, statement, [SortKey(WebhookDelivery.id, descending=True)], page)


def find_delivery(session: Session, endpoint_id: int, delivery_id: int) -> WebhookDelivery:
    """Raises NotFound, also for a delivery to another endpoint."""
    find_endpoint(session, endpoint_id)
    delivery = session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.endpoint_id == endpoint_id)
        .options(joinedload(WebhookDelivery.event))
        .execution_options(populate_existing=True)
    )
    if delivery is None:
        raise NotFound("There is no such delivery.", code="delivery_not_found")
    return delivery


def read_delivery(session: Session, endpoint_id: int, delivery_id: int) -> DeliveryFile:
    """Raises NotFound."""
    delivery = find_delivery(session, endpoint_id, delivery_id)
    attempts = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id)
    return DeliveryFile(
        delivery, session.scalars(attempts.order_by(WebhookAttempt.id.desc())).all()
    )


def list_events(session: Session, wanted: EventFilter, page: PageRequest) -> Page[WebhookEvent]:
    """Newest first."""
    statement = select(WebhookEvent)
    for name in ("type", "order_id", "payment_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(getattr(WebhookEvent, name) == value)
    if wanted.created_after is not None:
        statement = statement.where(WebhookEvent.created_at > wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(WebhookEvent.created_at < wanted.created_before)
    return paginate(session, statement, [SortKey(WebhookEvent.id, descending=True)], page)


def delete_old_events(session: Session, now: datetime) -> None:
    """Forget what happened long ago, with what became of it; what still waits is kept."""
    old = WebhookEvent.created_at <= now - KEPT_FOR
    removed = select(WebhookEndpoint.id).where(WebhookEndpoint.removed_at.is_not(None))
    over = select(WebhookDelivery.id).where(
        WebhookDelivery.event_id.in_(select(WebhookEvent.id).where(old)),
        # an event that was being written while its endpoint was removed waits for nothing
        (WebhookDelivery.state != DeliveryState.PENDING) | WebhookDelivery.endpoint_id.in_(removed),
    )
    session.execute(delete(WebhookAttempt).where(WebhookAttempt.delivery_id.in_(over)))
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(over)))
    named = exists().where(WebhookDelivery.event_id == WebhookEvent.id)
    session.execute(delete(WebhookEvent).where(old, ~named))
