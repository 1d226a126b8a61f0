"""Notifications on the wire."""

from typing import Any

import marshmallow as ma

from app.schemas.base import ListQuery, QueryBoolean, Schema, Timestamp, take_page

_MOMENT = {"format": "date-time", "type": "string"}


class NotificationQuery(ListQuery):
    unread = QueryBoolean(
        load_default=None,
        metadata={"description": "Only those that were not read yet, or only those that were."},
    )

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        return {"page": page, **data}


class NotificationSchema(Schema):
    """What happened, in plain words, and the ids of what it is about."""

    id = ma.fields.Integer(required=True, metadata={"example": 31})
    kind = ma.fields.String(
        required=True,
        metadata={
            "description": "`order_paid`, `order_cancelled`, `order_expired`, `order_shipped`,"
            " `order_delivered`, `payment_failed`, `refund_due`, `sale` (an order of"
            " yours to send), `comment`, `low_stock`, `task_assigned`; others may come.",
            "example": "order_paid",
        },
    )
    title = ma.fields.String(required=True, metadata={"example": "Order K7M2Q9X is paid"})
    body = ma.fields.String(
        required=True, metadata={"example": "We received KES 1499.5. Thank you."}
    )
    order_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": 12})
    product_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": None})
    task_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": None})
    created_at = Timestamp(required=True, metadata=_MOMENT)
    read_at = Timestamp(
        required=True,
        allow_none=True,
        metadata={"description": "Null: not read yet.", "example": None},
    )
