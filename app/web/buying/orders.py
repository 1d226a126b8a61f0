"""One's own orders: how they stand, calling one off, ordering the same again, the receipt."""

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.errors import Conflict, NotFound
from app.models import OrderStatus
from app.security import current_actor
from app.services.basket import fill_from_order
from app.services.end_order import cancel_order
from app.services.own_orders import find_own_order, list_own_orders, read_story
from app.web.buying.blueprint import buying
from app.web.buying.pay_news import NextStep, news_of
from app.web.buying.words import ATTEMPT_WORDS, ORDER_WORDS, STEPS, masked, plainly
from app.web.language import gettext
from app.web.pages import asked_page, done, next_address, page
from app.web.visitors import user_page

_PAID = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED})
_HAS_RECEIPT = _PAID | {OrderStatus.REFUNDED}
_PAYABLE = frozenset({NextStep.PAY, NextStep.TRY_AGAIN, NextStep.OTHER_PHONE})


@buying.get("/my/orders")
@user_page
def my_orders() -> AnyResponse:
    """Every order of one's own, the newest first."""
    with reading() as session:
        found = list_own_orders(session, current_actor(), asked_page())
    return page(
        "buying/orders.html",
        orders=found.rows,
        next=next_address(found.next_cursor),
        words=ORDER_WORDS,
    )


@buying.get("/my/orders/<id:order_id>")
@user_page
def my_order(order_id: int) -> AnyResponse:
    """One order: how far it is, what is in it, what was paid."""
    return _order_page(order_id)


def _order_page(order_id: int, problem: str = "", status: int = 200) -> AnyResponse:
    with reading() as session:
        story = read_story(session, current_actor(), order_id)
    news = news_of(story, now())
    return page(
        "buying/order.html",
        status,
        story=story,
        order=story.order,
        money=story.view.money,
        due_cents=story.view.amount_due_cents,
        news=news,
        may_pay=news.next_step in _PAYABLE,
        is_live=story.prompt_is_out,
        is_pending=story.order.status == OrderStatus.PENDING,
        has_receipt=story.order.status in _HAS_RECEIPT,
        is_over=story.order.status not in _PAID and story.order.status != OrderStatus.PENDING,
        way=STEPS,
        words=ORDER_WORDS,
        attempt_words=ATTEMPT_WORDS,
        masked=masked,
        problem=problem,
    )


@buying.post("/my/orders/<id:order_id>/cancel")
@user_page
def cancel(order_id: int) -> AnyResponse:
    """Call an unpaid order off."""
    try:
        with transaction() as session:
            find_own_order(session, current_actor(), order_id)
            cancel_order(session, current_actor(), order_id, now())
    except Conflict as refusal:
        return _order_page(order_id, plainly(refusal), refusal.status)
    return done(gettext("The order is cancelled."), "buying.my_order", order_id=order_id)


@buying.post("/my/orders/<id:order_id>/again")
@user_page
def order_again(order_id: int) -> AnyResponse:
    """Put what was ordered into the basket again."""
    with transaction() as session:
        left_out = fill_from_order(session, current_actor(), order_id, now())
    if left_out:
        names = ", ".join(left_out)
        flash(gettext("This cannot be put into the basket: %(names)s") % {"names": names})
    return redirect(url_for("buying.show_basket"), 303)


@buying.get("/my/orders/<id:order_id>/receipt")
@user_page
def receipt(order_id: int) -> AnyResponse:
    """What was paid for what, made to be printed. There is none before the money came."""
    with reading() as session:
        story = read_story(session, current_actor(), order_id)
    if story.order.status not in _HAS_RECEIPT:
        raise NotFound("There is no receipt: this order is not paid.", code="not_paid")
    return page("buying/receipt.html", story=story, order=story.order, money=story.view.money)
