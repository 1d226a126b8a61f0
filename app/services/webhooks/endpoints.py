"""The addresses that are told: added, changed, given another secret, taken away."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.db import ring_after_commit
from app.errors import Conflict, InvalidInput, NotFound
from app.models import DeliveryState, DisabledReason, WebhookDelivery, WebhookEndpoint
from app.policies import Actor
from app.services.paces import lock_pace
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.webhooks.emit import JOB
from app.services.webhooks.event_types import EventType
from app.services.webhooks.signing import new_secret
from app.utils.unset import UNSET, Unset
from app.utils.web_address import CallRules, read_web_address

MOST_ENDPOINTS = 16
"""Each may keep threads of a worker waiting."""

BOTH_SECRETS_FOR = timedelta(hours=24)
_TURN = "webhook_endpoints"


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """``event_types`` None: all, also those that are yet to come."""

    url: str
    description: str = ""
    event_types: tuple[EventType, ...] | None = None


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is UNSET stays as it is."""

    url: str | Unset = UNSET
    description: str | Unset = UNSET
    event_types: tuple[EventType, ...] | Unset | None = UNSET
    enabled: bool | Unset = UNSET


def list_endpoints(session: Session, page: PageRequest) -> Page[WebhookEndpoint]:
    """Newest first, without those that were removed."""
    statement = select(WebhookEndpoint).where(WebhookEndpoint.removed_at.is_(None))
    return paginate(session, statement, [SortKey(WebhookEndpoint.id, descending=True)], page)


def find_endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    """Raises NotFound."""
    endpoint = session.get(WebhookEndpoint, endpoint_id, populate_existing=True)
    return _found(endpoint)


def lock_endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    """The endpoint as it is now, ours until the commit; events are written to it meanwhile.

    Raises NotFound.
    """
    return _found(
        session.scalar(
            select(WebhookEndpoint)
            .where(WebhookEndpoint.id == endpoint_id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    )


def require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_enabled:
        raise Conflict(
            "This webhook is disabled. Enable it first, then send.", code="webhook_disabled"
        )


def create_endpoint(
    session: Session, actor: Actor, new: NewEndpoint, rules: CallRules, now: datetime
) -> WebhookEndpoint:
    """Add an address, with a secret of its own.

    Raises InvalidInput for an address that is never called, Conflict for one that is there
    already and for one too many.
    """
    check_address(new.url, rules)
    lock_pace(session, _TURN, now)  # of two that add the same, one waits here
    _refuse_twin(session, new.url)
    _refuse_crowd(session)
    endpoint = WebhookEndpoint(
        url=new.url,
        description=new.description,
        event_types=_as_stored(new.event_types),
        secret=new_secret(),
        created_by=actor.user_id,
        created_at=now,
        updated_at=now,
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def change_endpoint(
    session: Session, endpoint_id: int, change: EndpointChange, rules: CallRules, now: datetime
) -> WebhookEndpoint:
    """Change the named fields. Enabling goes on with what waits, and forgets old failures.

    Raises NotFound, and otherwise as create_endpoint does.
    """
    if change.url is not UNSET:
        check_address(change.url, rules)
        lock_pace(session, _TURN, now)
    endpoint = lock_endpoint(session, endpoint_id)
    if change.url is not UNSET and change.url != endpoint.url:
        _refuse_twin(session, change.url)
        endpoint.url = change.url
        _begin_anew(session, endpoint)
    if change.description is not UNSET:
        endpoint.description = change.description
    if change.event_types is not UNSET:
        endpoint.event_types = _as_stored(change.event_types)
    if change.enabled is True and not endpoint.is_enabled:
        endpoint.disabled_at = endpoint.disabled_reason = None
        _begin_anew(session, endpoint)
    elif change.enabled is False:
        disable(endpoint, DisabledReason.BY_ADMIN, now)
    endpoint.updated_at = now
    session.flush()
    return endpoint


def disable(endpoint: WebhookEndpoint, reason: DisabledReason, now: datetime) -> None:
    """Send nothing there any more; why it was disabled first stays."""
    if endpoint.is_enabled:
        endpoint.disabled_at = now
        endpoint.disabled_reason = reason


def rotate_secret(
    session: Session, endpoint_id: int, now: datetime, *, seen_version: int | None = None
) -> WebhookEndpoint:
    """Give an endpoint a new secret; the old one signs beside it for a day.

    Raises NotFound, and Conflict where the secret is another one by now than ``seen_version``.
    """
    endpoint = lock_endpoint(session, endpoint_id)
    if seen_version is not None and seen_version != endpoint.secret_version:
        raise Conflict(
            "The secret was changed meanwhile. Look at the webhook again.",
            code="secret_changed",
        )
    endpoint.previous_secret = endpoint.secret
    endpoint.previous_secret_until = now + BOTH_SECRETS_FOR
    endpoint.secret = new_secret()
    endpoint.secret_version += 1
    endpoint.updated_at = now
    session.flush()
    return endpoint


def remove_endpoint(session: Session, endpoint_id: int, now: datetime) -> None:
    """Take an address away, with its secrets; what was on its way there is cancelled.

    The row stays, because what was sent names it. Raises NotFound.
    """
    endpoint = lock_endpoint(session, endpoint_id)
    endpoint.removed_at = endpoint.updated_at = now
    endpoint.secret = endpoint.previous_secret = endpoint.previous_secret_until = None
    session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.endpoint_id == endpoint_id,
            WebhookDelivery.state == DeliveryState.PENDING,
        )
        .values(
            state=DeliveryState.CANCELLED, next_attempt_at=None, leased_until=None, updated_at=now
        )
        .execution_options(synchronize_session=False)
    )
    session.flush()


def check_address(url: str, rules: CallRules) -> None:
    """Raises InvalidInput for an address that is never called, by its text alone."""
    try:
        read_web_address(url, rules)
    except ValueError as refusal:
        raise refused_address(str(refusal)) from None


def refused_address(sentence: str) -> InvalidInput:
    return InvalidInput.field("url", sentence, code="address_refused")


def _found(endpoint: WebhookEndpoint | None) -> WebhookEndpoint:
    if endpoint is None or endpoint.removed_at is not None:
        raise NotFound("There is no such webhook.", code="webhook_not_found")
    return endpoint


def _begin_anew(session: Session, endpoint: WebhookEndpoint) -> None:
    endpoint.failing_since = endpoint.paused_until = None
    ring_after_commit(session, JOB, endpoint.id)


def _refuse_twin(session: Session, url: str) -> None:
    twin = select(WebhookEndpoint.id).where(
        WebhookEndpoint.url == url, WebhookEndpoint.removed_at.is_(None)
    )
    if session.scalar(twin) is not None:
        raise Conflict("There is a webhook with this address already.", code="webhook_exists")


def _refuse_crowd(session: Session) -> None:
    count = select(func.count(WebhookEndpoint.id)).where(WebhookEndpoint.removed_at.is_(None))
    if session.execute(count).scalar_one() >= MOST_ENDPOINTS:
        raise Conflict(
            f"There are {MOST_ENDPOINTS} webhooks already. Remove one first.",
            code="too_many_webhooks",
        )


def _as_stored(event_types: tuple[EventType, ...] | None) -> list[str] | None:
    """Each once, in the order in which they are documented."""
    if event_types is None:
        return None
    return [kind.value for kind in EventType if kind in event_types]
