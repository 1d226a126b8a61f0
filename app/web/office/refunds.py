"""Refunds, for admins: what waits for approval, what is under way, and how each went."""

from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, now
from app.db import reading, transaction
from app.jobs.rules import mpesa_numbers, refund_rules
from app.models import RefundState
from app.policies import Role
from app.schemas.base import PlainText, Schema
from app.schemas.refund import LONGEST_REASON, LONGEST_RECEIPT
from app.security import current_actor
from app.services.pages import Page
from app.services.refunds import (
    ListedRefund,
    RefundFilter,
    approve_refund,
    find_refund_file,
    list_named_refunds,
    record_by_hand,
    record_not_gone,
    reject_refund,
)
from app.services.restores import release_refunds
from app.web.language import gettext, mark, ngettext
from app.web.office.blueprint import office
from app.web.office.held_refunds import find_hold
from app.web.office.lists import Search, end_of, look_up
from app.web.office.payments import MOMENT
from app.web.office.raw import readable
from app.web.office.refund_forms import send_and_show
from app.web.office.refund_ways import in_plain_words
from app.web.office.words import (
    ACCOUNT_WORDS,
    MESSAGE_WORDS,
    REFUND_KIND_WORDS,
    REFUND_SOURCE_WORDS,
    REFUND_WORDS,
    REQUEST_KIND_WORDS,
    REQUEST_WORDS,
    TO_BE_DONE,
)
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

CHIPS = (
    ("", mark("All")),
    (RefundState.AWAITING_APPROVAL, mark("To be approved")),
    (RefundState.CREATED, mark("To be done")),
    (RefundState.PENDING, mark("Under way")),
    (RefundState.UNKNOWN, mark("No answer")),
    (RefundState.FAILED, mark("Failed")),
    (RefundState.SUCCEEDED, mark("Paid back")),
)
LONGEST_RELEASE_REASON = 500
_WORDS: dict[str, Any] = {
    "account_words": ACCOUNT_WORDS,
    "kind_words": REFUND_KIND_WORDS,
    "message_words": MESSAGE_WORDS,
    "refund_words": REFUND_WORDS,
    "request_kind_words": REQUEST_KIND_WORDS,
    "request_words": REQUEST_WORDS,
    "source_words": REFUND_SOURCE_WORDS,
    "to_be_done": TO_BE_DONE,
}


class RefundSearch(Search):
    status = ma.fields.Enum(RefundState, by_value=True, load_default=None)
    receipt = PlainText(max=LONGEST_RECEIPT, load_default=None)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> RefundFilter:
        first, receipt = data["first_day"], data["receipt"]
        return RefundFilter(
            status=data["status"],
            mpesa_receipt="".join(receipt.split()).upper() if receipt else None,
            created_after=first - MOMENT if first else None,  # what it is after does not count
            created_before=end_of(data["last_day"]),
        )


class ReleaseForm(Schema):
    although = PlainText(min=1, max=LONGEST_RELEASE_REASON, load_default=None)


class ReasonForm(Schema):
    reason = PlainText(min=1, max=LONGEST_REASON, required=True)


class ReceiptForm(Schema):
    refund_receipt = PlainText(min=1, max=LONGEST_RECEIPT, required=True)


@office.get("/office/refunds")
@role_page(Role.ADMIN)
def refunds() -> AnyResponse:
    """Refunds, newest first, and above them whether they are held."""
    return _list_page(Form())


@office.post("/office/refunds/release")
@role_page(Role.ADMIN)
def release() -> AnyResponse:
    """Send refunds again after a restore, as the command ``payments release-refunds`` does."""

    def act(data: dict[str, Any]) -> AnyResponse:
        numbers, admin = mpesa_numbers(current_config()), current_actor()
        with transaction() as session:
            waiting = release_refunds(
                session, numbers, now(), actor_id=admin.user_id, although=data["although"]
            )
        message = ngettext(
            "Refunds are sent again: %(num)s waits for it.",
            "Refunds are sent again: %(num)s wait for it.",
            waiting,
        )
        return done(message % {"num": waiting}, "office.refunds")

    return submit(ReleaseForm(), act, lambda form: _list_page(form).get_data(as_text=True))


def _list_page(release: Form) -> Response:
    return look_up(
        RefundSearch(),
        _find,
        "office/refunds.html",
        chips=CHIPS,
        hold=find_hold(),
        release=release,
        longest_reason=LONGEST_RELEASE_REASON,
        **_WORDS,
    )


def _find(wanted: RefundFilter) -> Page[ListedRefund]:
    with reading() as session:
        return list_named_refunds(session, current_actor(), wanted, asked_page())


@office.get("/office/refunds/<id:refund_id>")
@role_page(Role.ADMIN)
def refund(refund_id: int) -> AnyResponse:
    """One refund: who asked and why, what was sent and answered, what is left to do."""
    return _refund_page(refund_id, Form())


@office.post("/office/refunds/<id:refund_id>/approve")
@role_page(Role.ADMIN)
def approve(refund_id: int) -> AnyResponse:
    """Let a refund go that another admin asked for."""

    def act(_nothing: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            rules = refund_rules(current_config())
            approve_refund(session, current_actor(), refund_id, rules, now())
        return send_and_show(refund_id)

    return submit(Schema(), act, partial(_again, refund_id))


@office.post("/office/refunds/<id:refund_id>/reject")
@role_page(Role.ADMIN)
def reject(refund_id: int) -> AnyResponse:
    """Do not give the money back."""

    def act(data: dict[str, str]) -> AnyResponse:
        with transaction() as session:
            reject_refund(session, current_actor(), refund_id, data["reason"], now())
        return done(gettext("It is called off."), "office.refund", refund_id=refund_id)

    return submit(ReasonForm(), act, partial(_again, refund_id))


@office.post("/office/refunds/<id:refund_id>/complete")
@role_page(Role.ADMIN)
def complete(refund_id: int) -> AnyResponse:
    """Note M-Pesa's receipt of a refund that a person did, or found there."""

    def act(data: dict[str, str]) -> AnyResponse:
        with transaction() as session:
            record_by_hand(session, current_actor(), refund_id, data["refund_receipt"], now())
        message = gettext("The money is booked as gone back. The buyer is told.")
        return done(message, "office.refund", refund_id=refund_id)

    return submit(ReceiptForm(), act, partial(_again, refund_id))


@office.post("/office/refunds/<id:refund_id>/fail")
@role_page(Role.ADMIN)
def not_gone(refund_id: int) -> AnyResponse:
    """Say that the money of a refund that nobody knew about did not go."""

    def act(data: dict[str, str]) -> AnyResponse:
        with transaction() as session:
            record_not_gone(session, current_actor(), refund_id, data["reason"], now())
        message = gettext("It is booked as not gone. The payment may be refunded again.")
        return done(message, "office.refund", refund_id=refund_id)

    return submit(ReasonForm(), act, partial(_again, refund_id))


def _again(refund_id: int, form: Form) -> str:
    return _refund_page(refund_id, form).get_data(as_text=True)


def _refund_page(refund_id: int, form: Form) -> Response:
    with reading() as session:
        file = find_refund_file(session, current_actor(), refund_id)
    shown = in_plain_words(form)
    return page("office/refund.html", file=file, form=shown, readable=readable, **_WORDS)
