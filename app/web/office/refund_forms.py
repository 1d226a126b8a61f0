"""Asking for money to go back: a form, one look at what it would do, and then it is done."""

from collections.abc import Callable
from typing import Any

import marshmallow as ma
from flask import Response, flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, current_work, now
from app.db import reading, transaction
from app.jobs.refunds import send_refund
from app.jobs.rules import refund_rules
from app.models import Refund, RefundKind, RefundState
from app.policies import Role
from app.schemas.base import Money, PlainText, QueryBoolean, QueryInteger, Schema
from app.schemas.refund import LONGEST_REASON
from app.security import current_actor
from app.services.refunds import (
    RefundPlan,
    RefundRequest,
    RefundRules,
    find_refund,
    plan_refund,
    plan_refund_of_receipt,
    request_refund,
    request_refund_of_receipt,
)
from app.services.unmatched_money import find_stray_money
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.payments import payment_page
from app.web.office.refund_ways import in_plain_words, ways
from app.web.office.words import REFUND_KIND_WORDS, REFUND_WORDS
from app.web.pages import Form, page, submit
from app.web.visitors import role_page

_NEWS: dict[str, str] = {
    RefundState.AWAITING_APPROVAL: mark("It is on record. Another admin has to approve it."),
    RefundState.PENDING: mark("It is under way. M-Pesa will tell us when the money has gone."),
    RefundState.UNKNOWN: mark(
        "M-Pesa did not answer. It is asked what became of it, and nothing is sent again."
    ),
    RefundState.FAILED: mark("M-Pesa did not take it, and nothing went back."),
    RefundState.SUCCEEDED: mark("The money went back."),
}
_BY_HAND = mark("It is on record. Give the money back in M-Pesa's portal, then note its receipt.")


class RefundForm(Schema):
    """``seen_refunds``: how many refunds of this money the page showed; sent again, there is one
    more by then. ``sure`` stands in the second form alone, under what it would do.
    """

    amount = Money(minimum_cents=1, load_default=None)
    reason = PlainText(min=1, max=LONGEST_REASON, required=True)
    method = ma.fields.Enum(RefundKind, by_value=True, load_default=None)
    restock = QueryBoolean(load_default=False)
    seen_refunds = QueryInteger(required=True)
    sure = QueryBoolean(load_default=False)

    @ma.post_load
    def _ask(self, data: dict[str, Any], **_kwargs: Any) -> tuple[RefundRequest, bool]:
        ask = RefundRequest(
            reason=data["reason"],
            amount_cents=data["amount"],
            method=data["method"],
            restock=data["restock"],
            seen_refunds=data["seen_refunds"],
        )
        return ask, data["sure"]


@office.post("/office/payments/<id:payment_id>/refund")
@role_page(Role.ADMIN)
def ask_refund(payment_id: int) -> AnyResponse:
    """Give a payment back, or a part of it: shown first, and done when one is sure."""

    def plan(session: Session, ask: RefundRequest) -> RefundPlan:
        return plan_refund(session, current_actor(), payment_id, ask, _rules())

    def record(session: Session, ask: RefundRequest) -> Refund:
        return request_refund(session, current_actor(), payment_id, ask, _rules(), now())

    def again(form: Form) -> str:
        return payment_page(payment_id, in_plain_words(form)).get_data(as_text=True)

    return _ask(plan, record, again)


@office.get("/office/receipts/<string:receipt>/refund")
@role_page(Role.ADMIN)
def stray_refund(receipt: str) -> AnyResponse:
    """Where money that has no order is given back to who paid it."""
    return _stray_page(receipt, Form())


@office.post("/office/receipts/<string:receipt>/refund")
@role_page(Role.ADMIN)
def ask_stray_refund(receipt: str) -> AnyResponse:
    """Give money back that has no order."""
    known = receipt.upper()

    def plan(session: Session, ask: RefundRequest) -> RefundPlan:
        return plan_refund_of_receipt(session, current_actor(), known, ask, _rules())

    def record(session: Session, ask: RefundRequest) -> Refund:
        return request_refund_of_receipt(session, current_actor(), known, ask, _rules(), now())

    def again(form: Form) -> str:
        return _stray_page(receipt, form).get_data(as_text=True)

    return _ask(plan, record, again)


def send_and_show(refund_id: int) -> AnyResponse:
    """Have a refund sent that is to be sent, and say on its page how it stands."""
    send_refund(current_work(), refund_id)
    with reading() as session:
        refund = find_refund(session, current_actor(), refund_id)
    is_fine = refund.state not in (RefundState.FAILED, RefundState.UNKNOWN)
    news = _NEWS.get(refund.state, _BY_HAND)
    flash(gettext(news), "done" if is_fine else "warn")
    return redirect(url_for("office.refund", refund_id=refund_id), 303)


def _ask(
    plan: Callable[[Session, RefundRequest], RefundPlan],
    record: Callable[[Session, RefundRequest], Refund],
    again: Callable[[Form], str],
) -> AnyResponse:
    def act(wanted: tuple[RefundRequest, bool]) -> AnyResponse:
        ask, is_sure = wanted
        if not is_sure:
            with reading() as session:
                return _sure_page(plan(session, ask), ask)
        with transaction() as session:
            refund = record(session, ask)
        return send_and_show(refund.id)

    return submit(RefundForm(), act, again)


def _sure_page(plan: RefundPlan, ask: RefundRequest) -> Response:
    return page(
        "office/refund_sure.html",
        plan=plan,
        ask=ask,
        form=Form(request.form),
        kind_words=REFUND_KIND_WORDS,
    )


def _stray_page(receipt: str, form: Form) -> Response:
    with reading() as session:
        money = find_stray_money(session, receipt.upper())
    return page(
        "office/stray_refund.html",
        money=money,
        form=in_plain_words(form),
        ways=ways(current_config()),
        refund_words=REFUND_WORDS,
    )


def _rules() -> RefundRules:
    return refund_rules(current_config())
