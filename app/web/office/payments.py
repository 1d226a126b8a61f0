"""Payments, for admins: found by whatever a customer can name, and read with all their evidence."""

import re
from datetime import timedelta
from typing import Any, NamedTuple

import marshmallow as ma
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config
from app.db import reading
from app.models import PaymentState
from app.policies import Role
from app.schemas.base import Phone, PlainText
from app.security import current_actor
from app.services.pages import Page
from app.services.payment_file import (
    ListedPayment,
    find_payment_file,
    list_payments_of_orders,
)
from app.services.read_payments import PaymentFilter
from app.web.language import mark
from app.web.office.blueprint import office
from app.web.office.lists import OrderNumber, Search, end_of, look_up
from app.web.office.raw import readable
from app.web.office.refund_ways import ways
from app.web.office.words import (
    ACCOUNT_WORDS,
    BOOKING_WORDS,
    KIND_WORDS,
    MESSAGE_WORDS,
    PAYMENT_WORDS,
    REFUND_WORDS,
    SOURCE_WORDS,
    TO_BE_DONE,
)
from app.web.pages import Form, asked_page, page
from app.web.visitors import role_page

LONGEST_NUMBER = 20
CHIPS = (
    ("", mark("All")),
    (PaymentState.SUCCEEDED, mark("Paid")),
    (PaymentState.PENDING, mark("On the phone")),
    (PaymentState.UNKNOWN, mark("No answer")),
    (PaymentState.CANCELLED, mark("Cancelled")),
    (PaymentState.FAILED, mark("Failed")),
)
_WORDS: dict[str, Any] = {
    "payment_words": PAYMENT_WORDS,
    "source_words": SOURCE_WORDS,
    "message_words": MESSAGE_WORDS,
    "account_words": ACCOUNT_WORDS,
    "booking_words": BOOKING_WORDS,
    "kind_words": KIND_WORDS,
    "refund_words": REFUND_WORDS,
    "to_be_done": TO_BE_DONE,
}
MOMENT = timedelta(microseconds=1)
_AMOUNT = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,2})?")


class PaymentQuestion(NamedTuple):
    wanted: PaymentFilter
    order_number: str | None


class PaymentSearch(Search):
    status = ma.fields.Enum(PaymentState, by_value=True, load_default=None)
    receipt = PlainText(max=LONGEST_NUMBER, load_default=None)
    phone = Phone(load_default=None)
    number = OrderNumber(max=LONGEST_NUMBER, load_default=None)

    @ma.post_load
    def _question(self, data: dict[str, Any], **_kwargs: Any) -> PaymentQuestion:
        first, receipt = data["first_day"], data["receipt"]
        wanted = PaymentFilter(
            status=data["status"],
            mpesa_receipt="".join(receipt.split()).upper() if receipt else None,
            phone_number=data["phone"],
            created_after=first - MOMENT if first else None,  # what it is after does not count
            created_before=end_of(data["last_day"]),
        )
        return PaymentQuestion(wanted, data["number"])


@office.get("/office/payments")
@role_page(Role.ADMIN)
def payments() -> AnyResponse:
    """Payments, newest first."""
    return look_up(PaymentSearch(), _find, "office/payments.html", chips=CHIPS, **_WORDS)


def _find(question: PaymentQuestion) -> Page[ListedPayment]:
    with reading() as session:
        return list_payments_of_orders(session, current_actor(), *question, asked_page())


@office.get("/office/payments/<id:payment_id>")
@role_page(Role.ADMIN)
def payment(payment_id: int) -> AnyResponse:
    """One payment: what was asked, what was answered, what the books say, what went back.

    ``?refund=200`` opens the form that gives so many shillings back.
    """
    amount = request.args.get("refund", "")
    return payment_page(payment_id, Form({"amount": amount} if _AMOUNT.fullmatch(amount) else {}))


def payment_page(payment_id: int, form: Form) -> Response:
    """The page of a payment; ``form`` is what was wrong with the wish to give it back."""
    with reading() as session:
        file = find_payment_file(session, current_actor(), payment_id)
    return page(
        "office/payment.html",
        file=file,
        form=form,
        ways=ways(current_config()),
        readable=readable,
        **_WORDS,
    )
