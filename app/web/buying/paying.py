"""Paying for an order: the page that tells how it stands, and asking the phone."""

from hashlib import sha256
from typing import Any

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, now
from app.db import reading
from app.errors import Conflict
from app.jobs.rules import menu_number
from app.security import current_actor
from app.services.menu_payment import MenuPayment, menu_payment_of
from app.services.own_orders import OrderStory, find_own_order, read_story
from app.services.users import find_user
from app.web.buying.blueprint import buying
from app.web.buying.claiming import start_claim
from app.web.buying.forms import PaidForm, PhoneForm
from app.web.buying.pay_news import NextStep, PayNews, news_of
from app.web.buying.prompts import start_prompt
from app.web.buying.words import CLAIM_WORDS, in_plain_words
from app.web.pages import Form, page, submit, wants_fragment
from app.web.visitors import user_page

_SHOWN_BY_THE_PAGE = frozenset({"payment_in_progress", "order_not_payable"})
"""Refusals that say no more than the page itself: it shows the prompt that is out, or the end."""


@buying.get("/my/orders/<id:order_id>/pay")
@user_page
def pay(order_id: int) -> AnyResponse:
    """How the payment stands, and what to do about it."""
    return _pay_page(order_id, None)


@buying.post("/my/orders/<id:order_id>/pay")
@user_page
def ask_to_pay(order_id: int) -> AnyResponse:
    """Ask the phone. A second tap shows the prompt that is out already."""
    with reading() as session:
        find_own_order(session, current_actor(), order_id)

    def ask(msisdn: str) -> AnyResponse:
        try:
            start_prompt(order_id, msisdn)
        except Conflict as refusal:
            if refusal.code not in _SHOWN_BY_THE_PAGE:
                raise
        return redirect(url_for("buying.pay", order_id=order_id), 303)

    def again(form: Form) -> str:
        return _pay_page(order_id, in_plain_words(form, "phone_number")).get_data(as_text=True)

    return submit(PhoneForm(), ask, again)


@buying.get("/my/orders/<id:order_id>/pay/status")
@user_page
def pay_status(order_id: int) -> AnyResponse:
    """The part of the page that changes. 204 while it says what the asker has seen already."""
    if not wants_fragment():
        return redirect(url_for("buying.pay", order_id=order_id), 303)
    with reading() as session:
        story = read_story(session, current_actor(), order_id)
    news = news_of(story, now())
    if request.args.get("seen") == seen_mark(story, news):
        return Response(status=204)
    return page("buying/_pay_status.html", **_context(story, news, None))


@buying.post("/my/orders/<id:order_id>/paid")
@user_page
def say_paid(order_id: int) -> AnyResponse:
    """Name a payment that does not show here; the page then tells what becomes of it."""
    with reading() as session:
        find_own_order(session, current_actor(), order_id)

    def claim(receipt: str) -> AnyResponse:
        start_claim(order_id, receipt)
        return redirect(url_for("buying.pay", order_id=order_id), 303)

    def again(form: Form) -> str:
        return _pay_page(order_id, None, form).get_data(as_text=True)

    return submit(PaidForm(), claim, again)


def _pay_page(order_id: int, form: Form | None, claim_form: Form | None = None) -> Response:
    with reading() as session:
        story = read_story(session, current_actor(), order_id)
    return page("buying/pay.html", **_context(story, news_of(story, now()), form, claim_form))


def _context(
    story: OrderStory, news: PayNews, form: Form | None, claim_form: Form | None = None
) -> dict[str, Any]:
    return {
        "story": story,
        "order": story.order,
        "news": news,
        "steps": NextStep,
        "attempt": story.latest,
        "money": story.view.money,
        "menu_payment": _menu_payment(story, news),
        "may_pay_all_the_same": news.kind == "looking" and story.order.expires_at > now(),
        "claim_words": CLAIM_WORDS,
        "seen": seen_mark(story, news),
        "form": form or Form({"phone_number": _likely_phone(story, news)}),
        "claim_form": claim_form or Form(),
    }


def _menu_payment(story: OrderStory, news: PayNews) -> MenuPayment | None:
    """What to type in the M-Pesa menu, where it is wise to pay from there."""
    if not news.may_pay_by_menu:
        return None
    return menu_payment_of(story.view, menu_number(current_config()), now())


def seen_mark(story: OrderStory, news: PayNews) -> str:
    """What is shown, in one short word: the same word, the same page."""
    latest = story.latest
    shown = (
        news,
        latest.id if latest else None,
        latest.mpesa_receipt if latest else None,
        story.prompt_is_out,
        story.view.money.refunds_due_cents,
        story.view.money.paid_cents,
        [(claim.id, claim.state) for claim in story.claims],
    )
    return sha256(repr(shown).encode()).hexdigest()[:16]


def _likely_phone(story: OrderStory, news: PayNews) -> str:
    """The phone that was asked last, else the order's, else the buyer's; none where it cannot."""
    if news.next_step is NextStep.OTHER_PHONE:
        return ""
    msisdn = story.latest.msisdn if story.latest else story.order.phone_number
    if msisdn is None:
        with reading() as session:
            msisdn = find_user(session, story.order.user_id).phone_number
    return "0" + msisdn.removeprefix("254") if msisdn else ""
