"""What each type of event says, for the documentation: receivers read it, we never do."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import OrderStatus, PaymentKind, PaymentState, PaymentStatus, TaskKind, TaskPriority
from app.schemas.base import Money, Schema, Timestamp
from app.services.webhooks.event_types import TEST, EventType
from app.utils.money import CURRENCY

_MOMENT = {"format": "date-time", "type": "string"}
_OCCURRED = {
    "description": "When it happened; when it was sent is `webhook-timestamp`.",
    **_MOMENT,
}
_PHONE = {"description": "Never whole.", "example": "2547****678"}
_RECEIPT = {"example": "UKM1234567"}
_NUMBER = {"example": "K7M2Q9X"}


def _one_of(kind: Any, **options: Any) -> ma.fields.String:
    values = validate.OneOf([member.value for member in kind])
    return ma.fields.String(required=True, validate=values, **options)


class _News(Schema):
    class Meta:
        unknown = ma.INCLUDE  # more may be said one day


class OrderNewsSchema(_News):
    """An order as it stood after the step. Its lines and its buyer are at `/api/orders/{id}`."""

    id = ma.fields.Integer(required=True)
    number = ma.fields.String(required=True, metadata=_NUMBER)
    user_id = ma.fields.Integer(required=True)
    status = _one_of(OrderStatus)
    previous_status = _one_of(OrderStatus, allow_none=True)
    payment_status = _one_of(PaymentStatus)
    total_price = Money(required=True)
    amount_paid = Money(required=True)
    amount_due = Money(required=True)
    currency = ma.fields.Constant(CURRENCY, required=True)
    mpesa_receipts = ma.fields.List(ma.fields.String(metadata=_RECEIPT), required=True)
    created_at = Timestamp(required=True, metadata=_MOMENT)


class PaymentNewsSchema(_News):
    """A payment after it moved; the whole of it is at `/api/transactions/{id}`."""

    id = ma.fields.Integer(required=True)
    order_id = ma.fields.Integer(required=True)
    order_number = ma.fields.String(required=True, metadata=_NUMBER)
    kind = _one_of(PaymentKind)
    status = _one_of(PaymentState)
    previous_status = _one_of(PaymentState, allow_none=True)
    amount = Money(required=True)
    currency = ma.fields.Constant(CURRENCY, required=True)
    phone_number = ma.fields.String(required=True, allow_none=True, metadata=_PHONE)
    mpesa_receipt = ma.fields.String(required=True, allow_none=True, metadata=_RECEIPT)
    result_code = ma.fields.String(required=True, allow_none=True, metadata={"example": "0"})
    timestamp = Timestamp(required=True, metadata=_MOMENT)


class MoneyNewsSchema(_News):
    """Money without an order. Its payer, as far as M-Pesa shows one, is in the office alone."""

    mpesa_receipt = ma.fields.String(required=True, metadata=_RECEIPT)
    amount = Money(required=True)
    currency = ma.fields.Constant(CURRENCY, required=True)
    account_number = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What the payer typed; a phone never whole.", "example": "K7M2Q9"},
    )
    transacted_at = Timestamp(required=True, allow_none=True, metadata=_MOMENT)


class TaskNewsSchema(_News):
    """Something that only a person can decide; all that is known of it is at `/api/tasks/{id}`."""

    id = ma.fields.Integer(required=True)
    kind = _one_of(TaskKind)
    title = ma.fields.String(
        required=True, metadata={"example": "Refund KES 1500 for order K7M2Q9X"}
    )
    priority = _one_of(TaskPriority)
    order_id = ma.fields.Integer(required=True, allow_none=True)
    payment_id = ma.fields.Integer(required=True, allow_none=True)
    refund_id = ma.fields.Integer(required=True, allow_none=True)
    mpesa_receipt = ma.fields.String(required=True, allow_none=True, metadata=_RECEIPT)
    created_at = Timestamp(required=True, metadata=_MOMENT)


class TestNewsSchema(_News):
    """Nothing happened: somebody asked for a test."""

    message = ma.fields.String(required=True, metadata={"example": "It works"})
    webhook_id = ma.fields.Integer(required=True)
    user_id = ma.fields.Integer(required=True, metadata={"description": "Who asked."})


SAID_OF: dict[str, str] = {
    EventType.ORDER_PLACED: "An order was placed, and holds its stock.",
    EventType.ORDER_PAID: "An order is paid, and is to be sent.",
    EventType.ORDER_SHIPPED: "An order is on its way.",
    EventType.ORDER_DELIVERED: "An order has arrived.",
    EventType.ORDER_CANCELLED: "An order was called off; its stock is on sale again.",
    EventType.ORDER_EXPIRED: "An order was not paid in time; its stock is on sale again.",
    EventType.ORDER_REFUNDED: "The money of an order went back.",
    EventType.PAYMENT_PENDING: "A prompt is on a phone.",
    EventType.PAYMENT_SUCCEEDED: "Money came. Its receipt is null where M-Pesa has not named it.",
    EventType.PAYMENT_RECEIPT_ADDED: "M-Pesa named the receipt of money that had come before.",
    EventType.PAYMENT_FAILED: "An attempt ended without money.",
    EventType.PAYMENT_CANCELLED: "The payer refused.",
    EventType.PAYMENT_UNKNOWN: "Nobody knows yet whether money came; the shop keeps asking.",
    EventType.PAYMENT_REFUNDED: "Money went back.",
    EventType.MONEY_UNMATCHED: "Money came by itself, and nobody knows yet what it is for.",
    EventType.TASK_FILED: "The shop found something that only a person can decide.",
    TEST: "Somebody asked for a test.",
}

_DATA: dict[str, type[_News]] = {
    "order": OrderNewsSchema,
    "payment": PaymentNewsSchema,
    "money": MoneyNewsSchema,
    "task": TaskNewsSchema,
    "test": TestNewsSchema,
}


_ORDERS = {
    EventType.ORDER_PLACED: ("pending", None, "unpaid"),
    EventType.ORDER_PAID: ("paid", "pending", "paid"),
    EventType.ORDER_SHIPPED: ("shipped", "paid", "paid"),
    EventType.ORDER_DELIVERED: ("delivered", "shipped", "paid"),
    EventType.ORDER_CANCELLED: ("cancelled", "pending", "unpaid"),
    EventType.ORDER_EXPIRED: ("expired", "pending", "unpaid"),
    EventType.ORDER_REFUNDED: ("refunded", "paid", "refunded"),
}
_PAYMENTS = {
    EventType.PAYMENT_PENDING: ("pending", "created", None, None),
    EventType.PAYMENT_SUCCEEDED: ("succeeded", "pending", "UKM1234567", "0"),
    EventType.PAYMENT_RECEIPT_ADDED: ("succeeded", "succeeded", "UKM1234567", "0"),
    EventType.PAYMENT_FAILED: ("failed", "pending", None, "1"),
    EventType.PAYMENT_CANCELLED: ("cancelled", "pending", None, "1032"),
    EventType.PAYMENT_UNKNOWN: ("unknown", "pending", None, None),
    EventType.PAYMENT_REFUNDED: ("refunded", "succeeded", "UKM1234567", "0"),
}
_HAPPENED = "2026-11-22T09:30:00Z"


def news_schema(event_type: str) -> type[Schema]:
    """The whole body of an event of this type."""
    data = _DATA[event_type.partition(".")[0]]
    name = "".join(word.title() for word in event_type.replace("_", ".").split("."))
    fields = {
        "Meta": _News.Meta,
        "type": ma.fields.String(required=True, validate=validate.OneOf([str(event_type)])),
        "timestamp": Timestamp(required=True, metadata=_OCCURRED),
        "data": ma.fields.Nested(data, required=True),
    }
    return type(f"{name}EventSchema", (Schema,), fields)


def news_example(event_type: str) -> dict[str, Any]:
    """A body of this type as it may be received."""
    data: dict[str, Any] = {"message": "It works", "webhook_id": 1, "user_id": 1}
    if event_type in _ORDERS:
        data = _example_order(*_ORDERS[EventType(event_type)])
    elif event_type in _PAYMENTS:
        data = _example_payment(*_PAYMENTS[EventType(event_type)])
    elif event_type == EventType.MONEY_UNMATCHED:
        data = {
            "mpesa_receipt": "UKM1234567",
            "amount": 1500,
            "currency": CURRENCY,
            "account_number": "K7M2Q9",
            "transacted_at": _HAPPENED,
        }
    elif event_type == EventType.TASK_FILED:
        data = {
            "id": 1,
            "kind": TaskKind.LATE_MONEY.value,
            "title": "Refund KES 1500 for order K7M2Q9X",
            "priority": TaskPriority.HIGH.value,
            "order_id": 1,
            "payment_id": 1,
            "refund_id": None,
            "mpesa_receipt": "UKM1234567",
            "created_at": _HAPPENED,
        }
    return {"type": str(event_type), "timestamp": _HAPPENED, "data": data}


def _example_order(status: str, before: str | None, money: str) -> dict[str, Any]:
    is_paid = money != PaymentStatus.UNPAID
    return {
        "id": 1,
        "number": "K7M2Q9X",
        "user_id": 7,
        "status": status,
        "previous_status": before,
        "payment_status": money,
        "total_price": 1499.5,
        "amount_paid": 1500 if is_paid else 0,
        "amount_due": 1500 if status == OrderStatus.PENDING else 0,
        "currency": CURRENCY,
        "mpesa_receipts": ["UKM1234567"] if is_paid else [],
        "created_at": _HAPPENED,
    }


def _example_payment(
    status: str, before: str | None, receipt: str | None, code: str | None
) -> dict[str, Any]:
    return {
        "id": 1,
        "order_id": 1,
        "order_number": "K7M2Q9X",
        "kind": PaymentKind.STK_PUSH.value,
        "status": status,
        "previous_status": before,
        "amount": 1500,
        "currency": CURRENCY,
        "phone_number": "2547****678",
        "mpesa_receipt": receipt,
        "result_code": code,
        "timestamp": _HAPPENED,
    }
