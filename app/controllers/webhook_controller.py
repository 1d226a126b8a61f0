"""Webhooks: which of the merchant's own systems are told of what, and how each telling went."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.context import current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.jobs.rules import call_rules
from app.jobs.webhook_addresses import require_callable
from app.models import WebhookDelivery, WebhookEndpoint
from app.policies import Role
from app.schemas.base import ListQuery, page_of, take_page
from app.schemas.webhook import (
    DeliveryFileSchema,
    DeliveryQuery,
    DeliverySchema,
    NewWebhookSchema,
    ReplayedSchema,
    ReplaySchema,
    WebhookChangeSchema,
    WebhookEventQuery,
    WebhookEventSchema,
    WebhookSchema,
    WebhookWithSecretSchema,
)
from app.security import current_actor, require_role
from app.services.webhooks.deliveries import (
    DeliveryFile,
    list_deliveries,
    list_events,
    read_delivery,
)
from app.services.webhooks.endpoints import (
    EndpointChange,
    NewEndpoint,
    change_endpoint,
    create_endpoint,
    find_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
)
from app.services.webhooks.replay import replay_delivery, replay_since, send_test
from app.utils.unset import UNSET

webhooks = Blueprint(
    "webhooks",
    __name__,
    description="The merchant's own systems are told what happens, by signed requests after the"
    " Standard Webhooks specification. What each event says is listed under `webhooks` of this"
    " document.",
)
_schema = WebhookSchema()
_schema_with_secret = WebhookWithSecretSchema()
_delivery_schema = DeliverySchema()


@webhooks.post("/webhooks")
@require_role(Role.ADMIN)
@webhooks.arguments(NewWebhookSchema)
@webhooks.response(201, WebhookWithSecretSchema)
def post_webhook(new: NewEndpoint) -> Response:
    """Add an address that events are sent to. The answer is the only one that shows its secret.

    With an `Idempotency-Key` it is added once.
    """
    require_callable(current_work(), new.url)

    def work(session: Session) -> Answer:
        rules = call_rules(current_config())
        endpoint = create_endpoint(session, current_actor(), new, rules, now())
        location = f"/api/webhooks/{endpoint.id}"
        return Answer(201, dict(_schema_with_secret.dump(endpoint)), location)

    return run_once(work)


@webhooks.get("/webhooks")
@require_role(Role.ADMIN)
@webhooks.arguments(ListQuery, location="query")
@webhooks.response(200, page_of(WebhookSchema))
def get_webhooks(query: dict[str, Any]) -> Response:
    """Every address that events are sent to, or were until it was disabled; newest first."""
    with reading() as session:
        page = list_endpoints(session, take_page(query))
    return page_response(page, _schema)


@webhooks.get("/webhooks/<id:webhook_id>")
@require_role(Role.ADMIN)
@webhooks.response(200, WebhookSchema)
def get_webhook(webhook_id: int) -> WebhookEndpoint:
    """One address, without its secret."""
    with reading() as session:
        return find_endpoint(session, webhook_id)


@webhooks.patch("/webhooks/<id:webhook_id>")
@require_role(Role.ADMIN)
@webhooks.arguments(WebhookChangeSchema)
@webhooks.response(200, WebhookSchema)
def patch_webhook(change: EndpointChange, webhook_id: int) -> WebhookEndpoint:
    """Change the fields that are named; `enabled` stops it and lets it go on."""
    if change.url is not UNSET:
        require_callable(current_work(), change.url)
    with transaction() as session:
        return change_endpoint(session, webhook_id, change, call_rules(current_config()), now())


@webhooks.delete("/webhooks/<id:webhook_id>")
@require_role(Role.ADMIN)
@webhooks.response(204)
def delete_webhook(webhook_id: int) -> None:
    """Remove an address. What was on its way there is cancelled."""
    with transaction() as session:
        remove_endpoint(session, webhook_id, now())


@webhooks.post("/webhooks/<id:webhook_id>/rotate-secret")
@require_role(Role.ADMIN)
@webhooks.response(200, WebhookWithSecretSchema)
def post_rotate_secret(webhook_id: int) -> Response:
    """Make a new secret, which this answer shows once. For 24 hours both sign each request.

    Send an `Idempotency-Key`: rotated twice, only the last two secrets are good.
    """

    def work(session: Session) -> Answer:
        endpoint = rotate_secret(session, webhook_id, now())
        return Answer(200, dict(_schema_with_secret.dump(endpoint)))

    return run_once(work)


@webhooks.post("/webhooks/<id:webhook_id>/test")
@require_role(Role.ADMIN)
@webhooks.response(202, DeliverySchema)
def post_test(webhook_id: int) -> Response:
    """Send an event of the type `test` there."""

    def work(session: Session) -> Answer:
        delivery = send_test(session, current_actor(), webhook_id, now())
        return Answer(202, dict(_delivery_schema.dump(delivery)), _address_of(delivery))

    return run_once(work)


@webhooks.get("/webhooks/<id:webhook_id>/deliveries")
@require_role(Role.ADMIN)
@webhooks.arguments(DeliveryQuery, location="query")
@webhooks.response(200, page_of(DeliverySchema))
def get_deliveries(query: dict[str, Any], webhook_id: int) -> Response:
    """What was sent there and what is on its way, newest first."""
    with reading() as session:
        page = list_deliveries(session, webhook_id, **query)
    return page_response(page, _delivery_schema)


@webhooks.get("/webhooks/<id:webhook_id>/deliveries/<id:delivery_id>")
@require_role(Role.ADMIN)
@webhooks.response(200, DeliveryFileSchema)
def get_delivery(webhook_id: int, delivery_id: int) -> DeliveryFile:
    """One delivery with its body and every attempt."""
    with reading() as session:
        return read_delivery(session, webhook_id, delivery_id)


@webhooks.post("/webhooks/<id:webhook_id>/deliveries/<id:delivery_id>/replay")
@require_role(Role.ADMIN)
@webhooks.response(202, DeliverySchema)
def post_replay_delivery(webhook_id: int, delivery_id: int) -> Response:
    """Send it again now, under the same id, whatever became of it."""

    def work(session: Session) -> Answer:
        delivery = replay_delivery(session, webhook_id, delivery_id, now())
        return Answer(202, dict(_delivery_schema.dump(delivery)), _address_of(delivery))

    return run_once(work)


@webhooks.post("/webhooks/<id:webhook_id>/replay")
@require_role(Role.ADMIN)
@webhooks.arguments(ReplaySchema)
@webhooks.response(202, ReplayedSchema)
def post_replay(ask: dict[str, Any], webhook_id: int) -> Response:
    """Send every event since a moment that has not arrived there, also what was never sent.

    Events are kept for 90 days.
    """

    def work(session: Session) -> Answer:
        count = replay_since(session, webhook_id, now=now(), **ask)
        return Answer(202, {"replayed": count})

    return run_once(work)


@webhooks.get("/webhook-events")
@require_role(Role.ADMIN)
@webhooks.arguments(WebhookEventQuery, location="query")
@webhooks.response(200, page_of(WebhookEventSchema))
def get_webhook_events(query: dict[str, Any]) -> Response:
    """What there was to tell while there was a webhook that wanted it, newest first."""
    with reading() as session:
        page = list_events(session, **query)
    return page_response(page, WebhookEventSchema)


def _address_of(delivery: WebhookDelivery) -> str:
    return f"/api/webhooks/{delivery.endpoint_id}/deliveries/{delivery.id}"
