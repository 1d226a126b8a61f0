"""The ways by which money can go back in this shop, and why it cannot, in plain words."""

from dataclasses import replace

from app.config import Config
from app.models import RefundKind
from app.web.language import gettext, mark
from app.web.office.words import REFUND_KIND_WORDS
from app.web.pages import Form

_REFUSALS: dict[str, str] = {
    "above_mpesa_limit": mark("M-Pesa does not carry so much in one payout."),
    "method_not_set_up": mark("This way is not set up with M-Pesa here."),
    "not_refundable": mark("There is no money here that could go back."),
    "order_still_open": mark("The order still waits for the rest of its money. Cancel it first."),
    "payment_disputed": mark("M-Pesa disputes a payment of this order. Look at its task first."),
    "receipt_has_an_order": mark(
        "This money has an order. Give it back from the page of its payment."
    ),
    "refund_does_not_fit": mark(
        "The receipt stands for another refund, or the money went back already."
    ),
    "refund_exceeds_payment": mark("So much is not left of this payment."),
    "refund_not_awaiting_approval": mark("It does not wait for approval any more."),
    "refund_not_recordable": mark("It waits for nobody's hand."),
    "refund_not_rejectable": mark("It can no longer be called off."),
    "refund_not_unknown": mark("It is known by now what became of it."),
}
"""The refusals whose own sentences name what the page shows already."""


def ways(config: Config) -> list[tuple[str, str]]:
    """The ways that are set up, for a form to choose from."""
    set_up = {
        RefundKind.REVERSAL: config.can_reverse,
        RefundKind.PAYOUT: config.can_pay_out,
        RefundKind.BY_HAND: True,
    }
    return [
        ("", gettext("The surest way that there is")),
        *[(kind.value, gettext(REFUND_KIND_WORDS[kind])) for kind in RefundKind if set_up[kind]],
    ]


def in_plain_words(form: Form) -> Form:
    """A refused form whose problem is said in one sentence of ours, if there is one for it."""
    said = _REFUSALS.get(form.problem_code)
    return replace(form, problem=gettext(said)) if said else form
