"""Events go into the outbox in the transaction of what they tell of: both happen, or neither."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.asking import Prepared, from_driver
from app.db import ring_after_commit
from app.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.models.base import table_of
from app.services.webhooks.event_types import EventType
from app.utils.clock import rfc3339

JOB = "deliver_webhooks"
"""The job that a bell names, with the endpoint's id."""

_TYPES = WebhookEndpoint.event_types.type
_ENDPOINT = table_of(WebhookEndpoint).c
_ENDPOINTS = Prepared(
    select(_ENDPOINT.id, _ENDPOINT.event_types, _ENDPOINT.disabled_at)
    .where(_ENDPOINT.removed_at.is_(None))
    .order_by(_ENDPOINT.id)
)


@dataclass(frozen=True, slots=True)
class _Wanting:
    """An endpoint, and the types that it wants: None for all."""

    id: int
    types: list[str] | None
    is_disabled: bool


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
        if not endpoint.is_disabled:
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


def _endpoints_that_want(session: Session, event_type: EventType) -> Sequence[_Wanting]:
    with session.no_autoflush:  # whoever emits is in the middle of something
        found = _ENDPOINTS.once(session)
    endpoints = [
        _Wanting(row[0], from_driver(session, _TYPES, row[1]), is_disabled=row[2] is not None)
        for row in found
    ]
    return [one for one in endpoints if one.types is None or event_type in one.types]
