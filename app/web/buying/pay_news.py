"""What a payer is told: the truth as the rows have it, in plain words, and what to do next.

Paid is said of nothing but an order that its ledger covers. Another try is offered only where the
last one is surely over and could not bring money by itself.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from app.integrations.mpesa import RESULT_CODES
from app.models import LIVE_STATES, OrderStatus, Payment, PaymentState
from app.services.own_orders import OrderStory
from app.web.language import mark

_PROMPT_LASTS = timedelta(seconds=60)
_SOON_SECONDS = 2
_LATER_SECONDS = 10


class NextStep(StrEnum):
    """What the page offers to do."""

    NOTHING = "nothing"
    PAY = "pay"
    TRY_AGAIN = "try_again"
    OTHER_PHONE = "other_phone"
    ASK_THE_SHOP = "ask_the_shop"
    ORDER_AGAIN = "order_again"


@dataclass(frozen=True, slots=True)
class PayNews:
    """``kind`` names the case; ``poll_seconds`` is how soon there may be other news, or None.

    ``may_pay_by_menu`` is whether it is wise to pay from the M-Pesa menu now, and ``may_claim``
    whether somebody who has paid may not find that here.
    """

    kind: str
    tone: str
    headline: str
    sentences: tuple[str, ...] = ()
    next_step: NextStep = NextStep.NOTHING
    poll_seconds: int | None = None
    may_pay_by_menu: bool = False
    may_claim: bool = False


_ASKING = PayNews(
    "asking",
    "wait",
    mark("Asking M-Pesa to ring your phone"),
    (mark("This takes a few seconds."),),
    poll_seconds=_SOON_SECONDS,
)
_LOOK = PayNews(
    "look",
    "wait",
    mark("Look at your phone"),
    (
        mark("M-Pesa shows a prompt on it. Enter your M-Pesa PIN there, and nowhere else."),
        mark("The prompt waits for about one minute. This page sees by itself what you do."),
    ),
    poll_seconds=_SOON_SECONDS,
)
_WAITING = PayNews(
    "waiting",
    "wait",
    mark("Waiting for M-Pesa's answer"),
    (
        mark("If you have entered your PIN, all is well: M-Pesa takes a little longer."),
        mark("We are asking M-Pesa what became of it. Do not pay again before we know."),
    ),
    poll_seconds=_LATER_SECONDS,
    may_claim=True,
)
_UNKNOWN = PayNews(
    "unknown",
    "wait",
    mark("Still no answer from M-Pesa"),
    (
        mark("Do not pay again: we keep asking M-Pesa."),
        mark("Your order is kept for you meanwhile."),
    ),
    poll_seconds=_LATER_SECONDS,
    may_claim=True,
)
_REVIEW = PayNews(
    "review",
    "wait",
    mark("A person is looking into your payment"),
    (
        mark("M-Pesa's answer does not fit your order. We are looking into it; do not pay again."),
        mark("You will find the outcome among your notifications."),
    ),
)
_START = PayNews(
    "start",
    "plain",
    mark("Not paid yet"),
    (mark("We ask your phone, and you approve the payment there with your M-Pesa PIN."),),
    NextStep.PAY,
    poll_seconds=_LATER_SECONDS,
    may_pay_by_menu=True,
    may_claim=True,
)
_PART_PAID = replace(
    _START,
    kind="part_paid",
    tone="wait",
    headline=mark("A part is paid"),
    sentences=(mark("We have received a part of it. Pay the rest to get your order."),),
)
_LOOKING = PayNews(
    "looking",
    "wait",
    mark("We are looking for your payment"),
    (mark("Do not pay again before we know."),),
    poll_seconds=_LATER_SECONDS,
    may_claim=True,
)
_PAID = PayNews("paid", "good", mark("Paid. Thank you!"))
_PAID_LATE = replace(
    _PAID,
    kind="paid_late",
    sentences=(mark("Your payment came after the time was over, but everything was still there."),),
)
_FAILED = PayNews(
    "failed",
    "bad",
    mark("This payment did not go through"),
    poll_seconds=_LATER_SECONDS,
    may_pay_by_menu=True,
    may_claim=True,
)
_EXPIRED = PayNews(
    "expired",
    "bad",
    mark("The time for this order is over"),
    (
        mark("We received no payment in time, so its things went back on sale."),
        mark("If M-Pesa did charge you, keep its message: we will see the money and tell you."),
    ),
    NextStep.ORDER_AGAIN,
    may_claim=True,
)
_CANCELLED = PayNews(
    "cancelled",
    "bad",
    mark("This order is cancelled"),
    (mark("We received no payment for it."),),
    NextStep.ORDER_AGAIN,
    may_claim=True,
)
_LATE_MONEY = PayNews(
    "late_money",
    "bad",
    mark("Your money came too late for this order"),
    (
        mark("The order was over when your payment arrived, and it could not be had any more."),
        mark("We have kept your money safe and will send it back. You need not do anything."),
    ),
    NextStep.ORDER_AGAIN,
)
_REFUNDED = PayNews("refunded", "plain", mark("Your money was sent back"))

_MONEY_IS_SAFE = mark("No money was taken.")
_RING_THE_SHOP = mark("Tell the shop, or cancel this order.")
_OTHER_PHONE = mark("You can also pay from another phone number.")

WAYS_OUT: dict[str, tuple[NextStep, str]] = {
    "2": (NextStep.ASK_THE_SHOP, _RING_THE_SHOP),
    "3": (
        NextStep.ASK_THE_SHOP,
        mark("Cancel this order and order less at a time, or ask the shop for another way."),
    ),
    "4": (NextStep.OTHER_PHONE, _OTHER_PHONE),
    "8": (NextStep.ASK_THE_SHOP, _RING_THE_SHOP),
    "2006": (NextStep.OTHER_PHONE, _OTHER_PHONE),
    "2028": (NextStep.ASK_THE_SHOP, _RING_THE_SHOP),
    "8006": (NextStep.OTHER_PHONE, _OTHER_PHONE),
    "SFC_IC0003": (NextStep.ASK_THE_SHOP, _RING_THE_SHOP),
}
"""What else to do after the results on which trying the same again leads nowhere."""


_PAID_STATES = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED})


def news_of(story: OrderStory, now: datetime) -> PayNews:
    """How an order stands with its money, for whoever is to pay it."""
    status = story.order.status
    if status == OrderStatus.PENDING:
        return _news_of_pending(story, now)
    if status in _PAID_STATES:
        return _PAID_LATE if OrderStatus.EXPIRED in story.reached_at else _PAID
    if status == OrderStatus.REFUNDED:
        return _REFUNDED
    if story.view.money.refunds_due_cents > 0:
        return _LATE_MONEY
    over = _CANCELLED if status == OrderStatus.CANCELLED else _EXPIRED
    return replace(over, poll_seconds=_LATER_SECONDS) if story.prompt_is_out else over


def _news_of_pending(story: OrderStory, now: datetime) -> PayNews:
    latest = story.latest
    if latest is not None and latest.status in LIVE_STATES:
        return _news_of_live(latest, now)
    if story.claim is not None:
        return _LOOKING
    if story.order.expires_at <= now:
        return _EXPIRED
    if latest is None:
        return _START
    return _PART_PAID if latest.status == PaymentState.SUCCEEDED else _news_of_failed(latest)


def _news_of_live(attempt: Payment, now: datetime) -> PayNews:
    if attempt.review_reason is not None:
        return _REVIEW
    if attempt.status == PaymentState.UNKNOWN:
        said = attempt.customer_message or _UNKNOWN.sentences[0]
        return replace(_UNKNOWN, sentences=(said, *_UNKNOWN.sentences[1:]))
    if now - attempt.created_at >= _PROMPT_LASTS:
        return _WAITING
    return _ASKING if attempt.status == PaymentState.CREATED else _LOOK


def _news_of_failed(attempt: Payment) -> PayNews:
    """A try that is over: what happened, whether money moved, what to do.

    Without a code nobody at M-Pesa said how it ended, so nothing is promised about the money.
    """
    said = attempt.customer_message or mark("M-Pesa gave no reason.")
    sentences = [said]
    if attempt.result_code is not None and "no money was taken" not in said.lower():
        sentences.append(_MONEY_IS_SAFE)
    next_step = NextStep.TRY_AGAIN
    meaning = RESULT_CODES.get(attempt.result_code or "")
    if meaning is not None and not meaning.retry:
        next_step, advice = WAYS_OUT[meaning.code]
        sentences.append(advice)
    return replace(_FAILED, sentences=tuple(sentences), next_step=next_step)
