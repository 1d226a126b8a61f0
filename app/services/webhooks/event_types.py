"""What can be told. A new type is a line here, a row in docs/webhooks.md, a call of emit_event."""

from enum import StrEnum

from app.models import OrderStatus, PaymentState


class EventType(StrEnum):
    """What an event tells of, and with that what its data holds. Its meaning never changes."""

    ORDER_PLACED = "order.placed"
    ORDER_PAID = "order.paid"
    ORDER_SHIPPED = "order.shipped"
    ORDER_DELIVERED = "order.delivered"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_EXPIRED = "order.expired"
    ORDER_REFUNDED = "order.refunded"
    PAYMENT_PENDING = "payment.pending"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_RECEIPT_ADDED = "payment.receipt_added"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_CANCELLED = "payment.cancelled"
    PAYMENT_UNKNOWN = "payment.unknown"
    PAYMENT_REFUNDED = "payment.refunded"
    MONEY_UNMATCHED = "money.unmatched"
    TASK_FILED = "task.filed"


TEST = "test"
"""Sent to one endpoint when somebody asks for it; nobody subscribes to it."""

OF_ORDER: dict[str, EventType] = {
    OrderStatus.PENDING: EventType.ORDER_PLACED,
    OrderStatus.PAID: EventType.ORDER_PAID,
    OrderStatus.SHIPPED: EventType.ORDER_SHIPPED,
    OrderStatus.DELIVERED: EventType.ORDER_DELIVERED,
    OrderStatus.CANCELLED: EventType.ORDER_CANCELLED,
    OrderStatus.EXPIRED: EventType.ORDER_EXPIRED,
    OrderStatus.REFUNDED: EventType.ORDER_REFUNDED,
}
"""What it is called when an order comes to stand so."""

OF_PAYMENT: dict[str, EventType] = {
    PaymentState.PENDING: EventType.PAYMENT_PENDING,
    PaymentState.SUCCEEDED: EventType.PAYMENT_SUCCEEDED,
    PaymentState.FAILED: EventType.PAYMENT_FAILED,
    PaymentState.CANCELLED: EventType.PAYMENT_CANCELLED,
    PaymentState.UNKNOWN: EventType.PAYMENT_UNKNOWN,
    PaymentState.REFUNDED: EventType.PAYMENT_REFUNDED,
}
"""Likewise for a payment; that one is about to be asked for is not told."""
