"""Orders: found, read, sent on their way, called off."""

from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, now
from app.db import reading, transaction
from app.models import OrderStatus
from app.policies import Role
from app.schemas.base import PlainText, Schema
from app.schemas.order import FulfilSchema
from app.security import current_actor
from app.services.end_order import cancel_order
from app.services.move_order import fulfil_order
from app.services.pages import Page
from app.services.shop_orders import (
    ShopOrder,
    ShopOrderFilter,
    find_shop_order,
    list_shop_orders,
)
from app.utils.identity import LONGEST_EMAIL, email_key
from app.utils.phone import normalise_msisdn
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.lists import OrderNumber, Search, end_of, look_up
from app.web.office.refund_ways import ways
from app.web.office.words import (
    MONEY_WORDS,
    ORDER_WORDS,
    PAYMENT_WORDS,
    REFUND_WORDS,
    STEP_WORDS,
    TO_BE_DONE,
)
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

LONGEST_NUMBER = 20
CHIPS = (
    ("", mark("All")),
    (OrderStatus.PAID, mark("To be sent")),
    (OrderStatus.PENDING, mark("Waiting for payment")),
    (OrderStatus.SHIPPED, mark("On their way")),
    (OrderStatus.DELIVERED, mark("Delivered")),
    (OrderStatus.CANCELLED, mark("Cancelled")),
    (OrderStatus.EXPIRED, mark("Expired")),
)
_WORDS: dict[str, Any] = {
    "order_words": ORDER_WORDS,
    "money_words": MONEY_WORDS,
    "payment_words": PAYMENT_WORDS,
    "refund_words": REFUND_WORDS,
    "step_words": STEP_WORDS,
    "to_be_done": TO_BE_DONE,
}


class OrderSearch(Search):
    """What a seller looks for orders by."""

    status = ma.fields.Enum(OrderStatus, by_value=True, load_default=None)
    number = OrderNumber(max=LONGEST_NUMBER, load_default=None)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> ShopOrderFilter:
        data["placed_from"] = data.pop("first_day")
        data["placed_before"] = end_of(data.pop("last_day"))
        return ShopOrderFilter(**_buyer_of(data.pop("buyer", None)), **data)


class AdminOrderSearch(OrderSearch):
    """An admin also looks by the buyer's phone or e-mail address."""

    buyer = PlainText(max=LONGEST_EMAIL, load_default=None)

    @ma.validates("buyer")
    def _is_phone_or_email(self, value: str | None, **_kwargs: Any) -> None:
        try:
            _buyer_of(value)
        except ValueError:
            raise ma.ValidationError(
                mark("Write a Kenyan mobile number or an e-mail address.")
            ) from None


def _buyer_of(text: str | None) -> dict[str, Any]:
    """What kind of name it is shows in itself. Raises ValueError for neither kind."""
    if text is None:
        return {}
    if "@" in text:
        return {"buyer_email_key": email_key(text)}
    return {"buyer_phone": normalise_msisdn(text)}


@office.get("/office/orders")
@role_page(Role.SELLER, Role.ADMIN)
def orders() -> AnyResponse:
    """Orders, newest first; a seller's are those with their products."""
    schema = AdminOrderSearch() if current_actor().is_admin else OrderSearch()
    return look_up(schema, _find, "office/orders.html", chips=CHIPS, **_WORDS)


def _find(wanted: ShopOrderFilter) -> Page[ShopOrder]:
    with reading() as session:
        return list_shop_orders(session, current_actor(), wanted, asked_page())


@office.get("/office/orders/<id:order_id>")
@role_page(Role.SELLER, Role.ADMIN)
def order(order_id: int) -> AnyResponse:
    """One order with all that is known of it."""
    return _order_page(order_id, Form())


@office.post("/office/orders/<id:order_id>/fulfil")
@role_page(Role.SELLER, Role.ADMIN)
def fulfil(order_id: int) -> AnyResponse:
    """Mark an order shipped, or delivered."""

    def act(to: OrderStatus) -> AnyResponse:
        with transaction() as session:
            fulfil_order(session, current_actor(), order_id, to, now())
        message = {
            OrderStatus.SHIPPED: gettext("The order is on its way. The buyer is told."),
            OrderStatus.DELIVERED: gettext("The order is delivered. The buyer is told."),
        }[to]
        return done(message, "office.order", order_id=order_id)

    return submit(FulfilSchema(), act, partial(_again, order_id))


@office.post("/office/orders/<id:order_id>/cancel")
@role_page(Role.ADMIN)
def cancel(order_id: int) -> AnyResponse:
    """Call an unpaid order off."""

    def act(_nothing: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            cancel_order(session, current_actor(), order_id, now())
        message = gettext("The order is cancelled, and its goods are on sale again.")
        return done(message, "office.order", order_id=order_id)

    return submit(Schema(), act, partial(_again, order_id))


def _again(order_id: int, form: Form) -> str:
    return _order_page(order_id, form).get_data(as_text=True)


def _order_page(order_id: int, form: Form) -> Response:
    with reading() as session:
        file = find_shop_order(session, current_actor(), order_id)
    return page("office/order.html", file=file, form=form, ways=ways(current_config()), **_WORDS)
