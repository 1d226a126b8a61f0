"""What an attempt makes of its delivery, and of the endpoint that it went to."""

import random
from datetime import datetime, timedelta
from http import HTTPStatus

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    DeliveryState,
    DisabledReason,
    TaskKind,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from app.ports import WebhookAnswer
from app.services.lock_row import lock_row
from app.services.records import Matter, file_task
from app.services.webhooks.due import Claimed
from app.services.webhooks.endpoints import disable

RETRY_AFTER_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The schedule that the specification publishes: the wait after the first attempt, the second, …"""

FAILING_FOR = timedelta(days=3)
"""A delivery is given up after 75 hours; an endpoint that failed all the while is disabled."""

_JITTER = 0.1
_LONGEST_WAIT = timedelta(hours=24)
_PAUSE = timedelta(seconds=30)
_OVERLOADED = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def record_outcome(
    session: Session, claimed: Claimed, answer: WebhookAnswer, now: datetime
) -> datetime | None:
    """Keep what came back, and do what follows. Answers when it is sent again; None for never.

    A success counts whoever brings it. A failure counts only under the lease that it was sent
    with: where that ran out, another worker has the delivery.
    """
    endpoint = lock_row(session, WebhookEndpoint, claimed.endpoint_id)
    delivery = session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.id == claimed.delivery_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if endpoint is None or delivery is None:
        raise RuntimeError(f"Delivery {claimed.delivery_id} is gone.")
    session.add(
        WebhookAttempt(
            delivery_id=delivery.id,
            status=answer.status,
            error=answer.error,
            answer=answer.text or None,
            duration_ms=answer.duration_ms,
            created_at=now,
        )
    )
    if answer.is_success:
        endpoint.last_success_at = now
        endpoint.failing_since = endpoint.paused_until = None
    is_ours = delivery.leased_until == claimed.leased_until
    if delivery.state == DeliveryState.PENDING and (answer.is_success or is_ours):
        _note(delivery, answer, now)
        if not answer.is_success:
            _fail(session, endpoint, delivery, answer, now)
    session.flush()
    return delivery.next_attempt_at


def _note(delivery: WebhookDelivery, answer: WebhookAnswer, now: datetime) -> None:
    delivery.attempt_count += 1
    delivery.last_status = answer.status
    delivery.last_error = answer.error
    delivery.last_duration_ms = answer.duration_ms
    delivery.leased_until = None
    delivery.updated_at = now
    if answer.is_success:
        delivery.state = DeliveryState.DELIVERED
        delivery.next_attempt_at = None
        delivery.delivered_at = now


def _fail(
    session: Session,
    endpoint: WebhookEndpoint,
    delivery: WebhookDelivery,
    answer: WebhookAnswer,
    now: datetime,
) -> None:
    endpoint.failing_since = endpoint.failing_since or now
    if answer.status in _OVERLOADED:
        wait = timedelta(seconds=answer.retry_after_seconds or 0)
        endpoint.paused_until = now + min(max(wait, _PAUSE), _LONGEST_WAIT)
    if answer.status == HTTPStatus.GONE:
        _give_up(delivery)
        _close(session, endpoint, DisabledReason.GONE, now)
    elif delivery.attempt_count > len(RETRY_AFTER_SECONDS):
        _give_up(delivery)
        if now - endpoint.failing_since >= FAILING_FOR:
            _close(session, endpoint, DisabledReason.FAILING, now)
    else:
        delivery.next_attempt_at = now + _wait_after(delivery.attempt_count, answer)


def _wait_after(attempt_count: int, answer: WebhookAnswer) -> timedelta:
    """As scheduled, a little jittered, or as much later as the receiver asks."""
    seconds = RETRY_AFTER_SECONDS[attempt_count - 1] * (1 + random.uniform(0, _JITTER))
    asked = min(timedelta(seconds=answer.retry_after_seconds or 0), _LONGEST_WAIT)
    return max(timedelta(seconds=seconds), asked)


def _give_up(delivery: WebhookDelivery) -> None:
    delivery.state = DeliveryState.FAILED
    delivery.next_attempt_at = None


def _close(
    session: Session, endpoint: WebhookEndpoint, reason: DisabledReason, now: datetime
) -> None:
    """Disable an endpoint, and have an admin told, once."""
    if not endpoint.is_enabled:
        return
    disable(endpoint, reason, now)
    endpoint.updated_at = now
    session.flush()  # so that the endpoint is not sent the news of its own end
    why = (
        "It answered 410 Gone: it wants no more."
        if reason is DisabledReason.GONE
        else f"Nothing has arrived there since {endpoint.failing_since:%Y-%m-%d %H:%M} UTC."
    )
    file_task(
        session,
        Matter(
            kind=TaskKind.WEBHOOK_FAILING,
            title=f"Webhook {endpoint.id} is disabled",
            description=f"{endpoint.url} is sent nothing any more. {why} What happens from now on"
            " is kept: when it is mended, enable it and replay what it missed, under Webhooks.",
            dedupe_key=f"webhook_failing:{endpoint.id}:{now:%Y-%m-%dT%H:%M:%S}",
        ),
        now,
    )
