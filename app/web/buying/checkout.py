"""The checkout: one tap places the order and has the phone asked to pay for it."""

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_work
from app.db import reading
from app.errors import AppError
from app.jobs.buying import order_basket
from app.security import current_actor
from app.services.basket import BasketView, CheckOut
from app.services.users import find_user
from app.web.buying.basket import basket_again, read_basket
from app.web.buying.blueprint import buying
from app.web.buying.forms import CheckoutForm
from app.web.buying.prompts import start_prompt
from app.web.buying.words import in_plain_words, plainly
from app.web.pages import Form, page, submit
from app.web.visitors import user_page

_FIELDS = ("phone_number", "delivery_address", "note")
_SHOWN_AT_THE_BASKET = frozenset({"out_of_stock", "unknown_product", "basket_empty"})


@buying.get("/checkout")
@user_page
def checkout() -> AnyResponse:
    """What is ordered, which phone pays, where it goes to. What cannot be had is the basket's."""
    basket = read_basket()
    if not basket.can_be_ordered:
        return redirect(url_for("buying.show_basket"), 303)
    with reading() as session:
        user = find_user(session, current_actor().user_id)
    return _checkout_page(basket, Form({"phone_number": _local(user.phone_number)}))


def _checkout_page(basket: BasketView, form: Form) -> AnyResponse:
    return page("buying/checkout.html", basket=basket, form=form)


@buying.post("/checkout")
@user_page
def place() -> AnyResponse:
    """Place the order and ask the phone. Sent again, the form leads to the same order."""
    return submit(CheckoutForm(), _place, _again)


def _place(ask: CheckOut) -> AnyResponse:
    placed = order_basket(current_work(), current_actor(), ask)
    if placed.is_new:
        try:
            start_prompt(placed.order_id, ask.phone_number)
        except AppError as refusal:  # the order stands; its page offers to pay
            flash(plainly(refusal))
    return redirect(url_for("buying.pay", order_id=placed.order_id), 303)


def _again(form: Form) -> str:
    if form.problem_code in _SHOWN_AT_THE_BASKET:
        return basket_again(form)
    return _checkout_page(read_basket(), in_plain_words(form, *_FIELDS)).get_data(as_text=True)


def _local(msisdn: str | None) -> str:
    return "0" + msisdn.removeprefix("254") if msisdn else ""
