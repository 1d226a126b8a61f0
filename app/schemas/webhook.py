"""Webhooks on the wire."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import DeliveryState, DisabledReason
from app.schemas.base import (
    ListQuery,
    PlainText,
    QueryId,
    Schema,
    StrictBoolean,
    Timestamp,
    take_page,
)
from app.services.webhooks.deliveries import EventFilter
from app.services.webhooks.endpoints import EndpointChange, NewEndpoint
from app.services.webhooks.event_types import TEST, EventType
from app.utils.web_address import LONGEST_ADDRESS

LONGEST_DESCRIPTION = 200
TYPES = [kind.value for kind in EventType]
_STATES = [state.value for state in DeliveryState]
_REASONS = [reason.value for reason in DisabledReason]

_URL = {
    "description": "Called from the shop's server, so it must be an address that anybody on the"
    " internet can reach, with https. It is called as it is: nothing is followed.",
    "example": "https://erp.example.co.ke/sokoni",
}
_DESCRIPTION = {"description": "What it is for.", "example": "The bookkeeping"}
_TYPES = {
    "description": "The types of events that are sent there; null for all, also those to come.",
    "example": ["order.paid", "payment.succeeded"],
}
_EVENT_ID = {
    "description": "The `webhook-id` of each attempt: what a receiver tells repetitions by.",
    "example": "evt_0f8fad5bd9cb469fa165708677289501",
}
_MOMENT = {"format": "date-time", "type": "string"}


def _type() -> ma.fields.String:
    return ma.fields.String(validate=validate.OneOf(TYPES, error="There is no such type of event."))


class _EndpointBody(Schema):
    description = PlainText(max=LONGEST_DESCRIPTION, metadata=_DESCRIPTION)
    event_types = ma.fields.List(
        _type(),
        allow_none=True,
        validate=validate.Length(1, len(TYPES), error=f"Name 1 to {len(TYPES)} types."),
        metadata=_TYPES,
    )


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("event_types") is not None:
        data["event_types"] = tuple(map(EventType, data["event_types"]))
    return data


class NewWebhookSchema(_EndpointBody):
    url = PlainText(min=1, max=LONGEST_ADDRESS, required=True, metadata=_URL)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewEndpoint:
        return NewEndpoint(**_typed(data))


class WebhookChangeSchema(_EndpointBody):
    """Any of the fields; the others stay as they are."""

    url = PlainText(min=1, max=LONGEST_ADDRESS, metadata=_URL)
    enabled = StrictBoolean(
        metadata={"description": "Whether anything is sent there. What is missed can be replayed."}
    )

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> EndpointChange:
        return EndpointChange(**_typed(data))


class WebhookSchema(Schema):
    """An address of the merchant's own systems, without its secret."""

    id = ma.fields.Integer(required=True, metadata={"example": 1})
    url = ma.fields.String(required=True, metadata=_URL)
    description = ma.fields.String(required=True, metadata=_DESCRIPTION)
    event_types = ma.fields.List(_type(), required=True, allow_none=True, metadata=_TYPES)
    enabled = ma.fields.Boolean(required=True, attribute="is_enabled")
    disabled_at = Timestamp(required=True, allow_none=True, metadata=_MOMENT)
    disabled_reason = ma.fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(_REASONS),
        metadata={
            "description": "`by_admin`; `gone`: it answered 410; `failing`: nothing arrived there"
            " for days."
        },
    )
    failing_since = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "The first failure since the last success.", **_MOMENT},
    )
    last_success_at = Timestamp(required=True, allow_none=True, metadata=_MOMENT)
    created_by = ma.fields.Integer(
        required=True, metadata={"description": "The user who added it."}
    )
    created_at = Timestamp(required=True, metadata=_MOMENT)
    updated_at = Timestamp(required=True, metadata=_MOMENT)


class WebhookWithSecretSchema(WebhookSchema):
    """The only answer that shows the secret: keep it."""

    secret = ma.fields.String(
        required=True,
        metadata={
            "description": "What signatures are verified with.",
            "example": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        },
    )


class DeliverySchema(Schema):
    """One event on its way to one endpoint."""

    id = ma.fields.Integer(required=True, metadata={"example": 1})
    event_id = ma.fields.String(required=True, attribute="event.public_id", metadata=_EVENT_ID)
    event_type = ma.fields.String(
        required=True, attribute="event.type", metadata={"example": "order.paid"}
    )
    state = ma.fields.String(required=True, validate=validate.OneOf(_STATES))
    attempt_count = ma.fields.Integer(
        required=True, metadata={"description": "Attempts since it was last replayed."}
    )
    next_attempt_at = Timestamp(required=True, allow_none=True, metadata=_MOMENT)
    last_status = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "The HTTP status of the last attempt.", "example": 204},
    )
    last_error = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "Why there is no status."}
    )
    last_duration_ms = ma.fields.Integer(required=True, allow_none=True)
    delivered_at = Timestamp(required=True, allow_none=True, metadata=_MOMENT)
    created_at = Timestamp(required=True, metadata=_MOMENT)


class AttemptSchema(Schema):
    """One request, and what came back."""

    status = ma.fields.Integer(required=True, allow_none=True, metadata={"example": 500})
    error = ma.fields.String(required=True, allow_none=True)
    answer = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The beginning of the body."}
    )
    duration_ms = ma.fields.Integer(required=True)
    created_at = Timestamp(required=True, metadata=_MOMENT)


class DeliveryFileSchema(Schema):
    """A delivery with what was sent and every attempt, the latest first."""

    delivery = ma.fields.Nested(DeliverySchema, required=True)
    payload = ma.fields.String(
        required=True,
        attribute="delivery.event.payload",
        metadata={"description": "The body, byte for byte as it is signed and sent."},
    )
    attempts = ma.fields.List(ma.fields.Nested(AttemptSchema), required=True)


class DeliveryQuery(ListQuery):
    state = ma.fields.String(
        load_default=None,
        validate=validate.OneOf(_STATES, error=f"Must be one of {', '.join(_STATES)}."),
    )

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        return {"state": DeliveryState(data["state"]) if data["state"] else None, "page": page}


class ReplaySchema(Schema):
    since = Timestamp(
        required=True,
        metadata={
            "description": "Events from this moment on.",
            "example": "2026-11-22T09:30:00Z",
            **_MOMENT,
        },
    )
    include_delivered = StrictBoolean(
        load_default=False, metadata={"description": "Send what has arrived as well."}
    )


class ReplayedSchema(Schema):
    replayed = ma.fields.Integer(
        required=True, metadata={"description": "How many are on their way.", "example": 12}
    )


class WebhookEventSchema(Schema):
    """Something that happened, as it is told."""

    id = ma.fields.String(required=True, attribute="public_id", metadata=_EVENT_ID)
    type = ma.fields.String(required=True, metadata={"example": "order.paid"})
    payload = ma.fields.String(
        required=True,
        metadata={
            "description": "The body, byte for byte as it is signed and sent.",
            "example": '{"type":"order.paid","timestamp":"2026-11-22T09:30:00Z","data":{"id":1}}',
        },
    )
    order_id = ma.fields.Integer(required=True, allow_none=True)
    payment_id = ma.fields.Integer(required=True, allow_none=True)
    created_at = Timestamp(required=True, metadata=_MOMENT)


class WebhookEventQuery(ListQuery):
    type = ma.fields.String(
        load_default=None,
        validate=validate.OneOf([*TYPES, TEST], error="There is no such type of event."),
    )
    order_id = QueryId(load_default=None)
    payment_id = QueryId(load_default=None)
    created_after = Timestamp(load_default=None, metadata=_MOMENT)
    created_before = Timestamp(load_default=None, metadata=_MOMENT)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        return {"wanted": EventFilter(**data), "page": page}
