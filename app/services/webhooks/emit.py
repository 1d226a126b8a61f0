"""Events go into the outbox in the transaction of what they tell of: both happen, or neither."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from app.db import ring_after_commit
from app.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.services.webhooks.event_types import EventType
from app.utils.clock import rfc3339

JOB = "deliver_webhooks"
"""The job that a bell names, with the endpoint's id."""


def emit_event(
    session: Session,
    event_type: EventType,
    data: Callable[[], Mapping[str, Any]],
    now: datetime,
    *,
    order_id: int | None = None,
    payment_id: int | None = None,
) -> None:
    """Tell every endpoint that wants this type; ``data`` is asked for only where one does.

    A disabled endpoint is sent nothing, but what it misses is on record, to be replayed. Without
    any endpoint this is one query of an empty table.
    """
    wanting = _endpoints_that_want(session, event_type)
    if not wanting:
        return
    event = keep_event(session, event_type, data(), now, order_id=order_id, payment_id=payment_id)
    for endpoint in wanting:
        if endpoint.disabled_at is None:
            add_delivery(session, endpoint.id, event, now)


def keep_event(
    session: Session,
    event_type: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    order_id: int | None = None,
    payment_id: int | None = None,
) -> WebhookEvent:
    """Put an event on record, as the very text that is signed and sent."""
    payload = {"type": str(event_type), "timestamp": rfc3339(now), "data": data}
    event = WebhookEvent(
        public_id=f"evt_{token_hex(16)}",
        type=event_type,
        payload=json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
        order_id=order_id,
        payment_id=payment_id,
        created_at=now,
    )
    session.add(event)
    session.flush()
    return event


def add_delivery(
    session: Session, endpoint_id: int, event: WebhookEvent, now: datetime
) -> WebhookDelivery:
    """Have an event sent to an endpoint as soon as this transaction has committed."""
    delivery = WebhookDelivery(
        endpoint_id=endpoint_id,
        event=event,
        next_attempt_at=now,
        created_at=now,
        updated_at=now,
    )
    session.add(delivery)
    session.flush()
    ring_after_commit(session, JOB, endpoint_id)
    return delivery


def _endpoints_that_want(
    session: Session, event_type: EventType
) -> Sequence[Row[int, list[str] | None, datetime | None]]:
    endpoints = select(
        WebhookEndpoint.id, WebhookEndpoint.event_types, WebhookEndpoint.disabled_at
    ).where(WebhookEndpoint.removed_at.is_(None))
    with session.no_autoflush:  # whoever emits is in the middle of something
        found = session.execute(endpoints.order_by(WebhookEndpoint.id)).all()
    return [row for row in found if row.event_types is None or event_type in row.event_types]
