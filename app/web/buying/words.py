"""States and refusals in plain words."""

from dataclasses import replace

from app.errors import AppError
from app.models import ClaimState, OrderStatus, PaymentState
from app.web.language import gettext, mark
from app.web.pages import Form

STEPS = (
    (OrderStatus.PENDING, mark("Placed")),
    (OrderStatus.PAID, mark("Paid")),
    (OrderStatus.SHIPPED, mark("Sent")),
    (OrderStatus.DELIVERED, mark("Delivered")),
)
"""The way of an order on which all goes well."""

ORDER_WORDS: dict[str, tuple[str, str]] = {
    OrderStatus.PENDING: (mark("Waiting for payment"), "wait"),
    OrderStatus.PAID: (mark("Paid"), "good"),
    OrderStatus.SHIPPED: (mark("On its way"), "good"),
    OrderStatus.DELIVERED: (mark("Delivered"), "good"),
    OrderStatus.CANCELLED: (mark("Cancelled"), "bad"),
    OrderStatus.EXPIRED: (mark("Expired"), "bad"),
    OrderStatus.REFUNDED: (mark("Paid back"), "plain"),
}
"""Each with the tone of its badge."""

ATTEMPT_WORDS: dict[str, tuple[str, str]] = {
    PaymentState.CREATED: (mark("Being sent"), "wait"),
    PaymentState.PENDING: (mark("On the phone"), "wait"),
    PaymentState.UNKNOWN: (mark("No answer yet"), "wait"),
    PaymentState.SUCCEEDED: (mark("Paid"), "good"),
    PaymentState.FAILED: (mark("Not paid"), "bad"),
    PaymentState.CANCELLED: (mark("Not paid"), "bad"),
    PaymentState.REFUNDED: (mark("Paid back"), "plain"),
}

CLAIM_WORDS: dict[str, tuple[str, str]] = {
    ClaimState.OPEN: (mark("Being looked for"), "wait"),
    ClaimState.WITH_A_PERSON: (mark("With a person"), "wait"),
    ClaimState.ACCEPTED: (mark("Found"), "good"),
    ClaimState.REFUSED: (mark("Not found"), "bad"),
}
"""What became of a payment that a buyer named."""

REFUSALS = {
    "out_of_stock": mark("Something has been sold meanwhile. Nothing was ordered."),
    "unknown_product": mark("Something is no longer for sale. Nothing was ordered."),
    "basket_full": mark("Your basket is full. Order what is in it first, or take something out."),
    "too_many_open_orders": mark(
        "You have too many orders that are not paid. Pay or cancel one of them first."
    ),
    "above_mpesa_limit": mark(
        "M-Pesa does not carry so much in one payment. Order less, or in two orders."
    ),
    "order_is_free": mark("This costs nothing, and M-Pesa cannot move nothing."),
    "order_not_cancellable": mark("This order can no longer be cancelled."),
}
"""Where a refusal's own sentence holds names and numbers, which no translation can foresee."""


def plainly(refusal: AppError) -> str:
    """A refusal as one sentence in the visitor's language."""
    return gettext(REFUSALS.get(refusal.code, refusal.detail))


def in_plain_words(form: Form, *fields: str) -> Form:
    """A refused form whose problem is said in one sentence of ours, if there is one for it.

    What is wrong with anything but the ``fields`` that its page shows is said above them.
    """
    said = REFUSALS.get(form.problem_code)
    if said:
        return replace(form, errors={}, problem=gettext(said))
    hidden = [message for name, message in form.errors.items() if name not in fields]
    return replace(form, problem=hidden[0]) if hidden and not form.problem else form


def masked(msisdn: str) -> str:
    """``07** *** 678``: whose phone it is knows it; who looks over a shoulder does not."""
    return f"0{msisdn[3]}** *** {msisdn[-3:]}"
