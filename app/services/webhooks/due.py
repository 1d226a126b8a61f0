"""Which delivery is sent next, and by whom: one worker, for as long as its lease."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.orm import Session, joinedload

from app.models import WebhookDelivery, WebhookEndpoint

IN_FLIGHT_PER_ENDPOINT = 2
"""So many are sent to one endpoint at a time, by all workers together."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to send, with all that sending it takes."""

    delivery_id: int
    endpoint_id: int
    leased_until: datetime
    event_id: str
    payload: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)


def endpoints_with_due_deliveries(session: Session, now: datetime) -> list[int]:
    """One look at the index for each endpoint, however many deliveries wait."""
    due = exists().where(WebhookDelivery.endpoint_id == WebhookEndpoint.id, _is_due(now))
    return list(
        session.scalars(
            select(WebhookEndpoint.id).where(_is_open(now), due).order_by(WebhookEndpoint.id)
        )
    )


def claim_delivery(
    session: Session, endpoint_id: int, now: datetime, lease_seconds: float
) -> Claimed | None:
    """Take the delivery that has been due longest; a dead worker's come back when its lease ends.

    None where nothing is due, where enough is under way to this endpoint, and where it is
    disabled, removed or paused.
    """
    endpoint = session.scalar(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, _is_open(now))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if endpoint is None or _in_flight(session, endpoint_id, now) >= IN_FLIGHT_PER_ENDPOINT:
        return None
    delivery = session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, _is_due(now))
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .options(joinedload(WebhookDelivery.event))
        .with_for_update(of=WebhookDelivery, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    leased_until = now + timedelta(seconds=lease_seconds)
    if delivery is None or not _lease(session, delivery.id, now, leased_until):
        return None
    return Claimed(
        delivery_id=delivery.id,
        endpoint_id=endpoint_id,
        leased_until=leased_until,
        event_id=delivery.event.public_id,
        payload=delivery.event.payload,
        url=endpoint.url,
        secrets=_secrets_of(endpoint, now),
    )


def _lease(session: Session, delivery_id: int, now: datetime, until: datetime) -> bool:
    taken = session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, _is_due(now))
        .values(leased_until=until)
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return taken is not None


def _in_flight(session: Session, endpoint_id: int, now: datetime) -> int:
    leased = select(func.count(WebhookDelivery.id)).where(
        WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.leased_until > now
    )
    return session.execute(leased).scalar_one()


def _secrets_of(endpoint: WebhookEndpoint, now: datetime) -> tuple[str, ...]:
    """The new one first; the old one as long as both are good."""
    secrets = [endpoint.secret]
    if endpoint.previous_secret_until is not None and now < endpoint.previous_secret_until:
        secrets.append(endpoint.previous_secret)
    return tuple(secret for secret in secrets if secret is not None)


def _is_open(now: datetime) -> ColumnElement[bool]:
    return (
        WebhookEndpoint.removed_at.is_(None)
        & WebhookEndpoint.disabled_at.is_(None)
        & or_(WebhookEndpoint.paused_until.is_(None), WebhookEndpoint.paused_until <= now)
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return (WebhookDelivery.next_attempt_at <= now) & or_(
        WebhookDelivery.leased_until.is_(None), WebhookDelivery.leased_until <= now
    )
