from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.context import current_config, now
from app.jobs.rules import menu_number
from app.models import OrderStatus, PaymentStatus
from app.schemas.base import (
    ListQuery,
    Money,
    Phone,
    PlainText,
    PositiveId,
    Schema,
    StrictInteger,
    Timestamp,
    take_page,
)
from app.services.menu_payment import menu_payment_of
from app.services.place_order import MAX_UNITS_OF_A_PRODUCT, OrderRequest, WantedLine
from app.services.read_orders import OrderFilter
from app.utils.money import CURRENCY

MAX_LINES = 50
_STATUSES = [status.value for status in OrderStatus]


class WantedLineSchema(Schema):
    product_id = PositiveId(required=True, metadata={"example": 1})
    quantity = StrictInteger(
        required=True,
        validate=validate.Range(
            1, MAX_UNITS_OF_A_PRODUCT, error=f"Must be from 1 to {MAX_UNITS_OF_A_PRODUCT}."
        ),
        metadata={"example": 2},
    )

    @ma.post_load
    def _line(self, data: dict[str, Any], **_kwargs: Any) -> WantedLine:
        return WantedLine(**data)


class PlaceOrderSchema(Schema):
    """What a buyer asks for; prices are the shop's."""

    products = ma.fields.List(
        ma.fields.Nested(WantedLineSchema),
        required=True,
        validate=validate.Length(1, MAX_LINES, error=f"Must hold 1 to {MAX_LINES} lines."),
    )
    phone_number = Phone(allow_none=True, metadata={"example": "0712 345 678"})
    delivery_address = PlainText(max=500, multiline=True, allow_none=True)
    note = PlainText(max=1000, multiline=True, allow_none=True)

    @ma.post_load
    def _request(self, data: dict[str, Any], **_kwargs: Any) -> OrderRequest:
        return OrderRequest(lines=tuple(data.pop("products")), **data)


class FulfilSchema(Schema):
    status = ma.fields.String(
        required=True,
        validate=validate.OneOf(
            [OrderStatus.SHIPPED.value, OrderStatus.DELIVERED.value],
            error="Must be shipped or delivered.",
        ),
        metadata={"example": "shipped"},
    )

    @ma.post_load
    def _status(self, data: dict[str, Any], **_kwargs: Any) -> OrderStatus:
        return OrderStatus(data["status"])


class OrderQuery(ListQuery):
    status = ma.fields.String(
        load_default=None,
        validate=validate.OneOf(_STATUSES, error=f"Must be one of {', '.join(_STATUSES)}."),
    )
    created_after = Timestamp(load_default=None)
    created_before = Timestamp(load_default=None)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        status = data.pop("status")
        wanted = OrderFilter(status=OrderStatus(status) if status else None, **data)
        return {"wanted": wanted, "page": page}


class OrderLineSchema(Schema):
    product_id = ma.fields.Integer()
    name = ma.fields.String(attribute="product_name")
    quantity = ma.fields.Integer()
    unit_price = Money(attribute="unit_price_cents")
    line_total = Money(attribute="line_total_cents")


class MenuPaymentSchema(Schema):
    """What a customer types in the M-Pesa menu to pay without a prompt. At a till (Buy Goods) no
    account is asked for: keep the message of M-Pesa, and name its receipt if need be.
    """

    paybill = ma.fields.String(allow_none=True, metadata={"example": "174379"})
    till = ma.fields.String(allow_none=True)
    account = ma.fields.String(metadata={"example": "K7M2Q9X"})
    amount = Money(attribute="amount_cents")


class _MenuPayment(ma.fields.Nested):
    """Worked out of the order as it is dumped."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(MenuPaymentSchema, allow_none=True, **kwargs)

    def get_value(self, obj: Any, *_args: Any, **_kwargs: Any) -> Any:
        return menu_payment_of(obj, menu_number(current_config()), now())


_FOR_SELLERS = (
    "Like `delivery_address` and `note`: null for a seller unless the order is to be brought."
)


class OrderSchema(Schema):
    """An order with its money; ``number`` is what a payer types as the M-Pesa account."""

    id = ma.fields.Integer(attribute="order.id")
    number = ma.fields.String(attribute="order.number", metadata={"example": "K7M2Q9X"})
    user_id = ma.fields.Integer(attribute="order.user_id")
    products = ma.fields.List(ma.fields.Nested(OrderLineSchema), attribute="order.lines")
    total_price = Money(attribute="order.total_cents")
    currency = ma.fields.Constant(CURRENCY)
    amount_paid = Money(attribute="money.paid_cents")
    amount_due = Money(
        attribute="amount_due_cents",
        metadata={"description": "What M-Pesa would ask for now, in whole shillings."},
    )
    status = ma.fields.String(attribute="order.status", validate=validate.OneOf(_STATUSES))
    payment_status = ma.fields.String(
        validate=validate.OneOf([status.value for status in PaymentStatus])
    )
    phone_number = ma.fields.String(allow_none=True, metadata={"description": _FOR_SELLERS})
    delivery_address = ma.fields.String(allow_none=True)
    note = ma.fields.String(allow_none=True)
    created_at = Timestamp(attribute="order.created_at")
    updated_at = Timestamp(attribute="order.updated_at")
    expires_at = Timestamp(attribute="order.expires_at")
    paid_at = Timestamp(attribute="order.paid_at", allow_none=True)
    pay_by_paybill = _MenuPayment(
        metadata={
            "description": "What to type in the M-Pesa menu instead of waiting for a prompt. Null"
            " where nothing is due, and while a prompt may be on the phone."
        }
    )
