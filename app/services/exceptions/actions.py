"""What a person may do about a matter of money: a pure function of how it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    OrderStatus,
    PaymentState,
    ReceiptState,
    RefundState,
    TaskKind,
)
from app.services.use_money import DEBT_TASKS


class Action(StrEnum):
    """Each closes its task, except NOTE and RETRY; REFUND is begun at the payment."""

    ATTACH = "attach"
    PAID = "paid"
    NOT_PAID = "not_paid"
    RECEIPT = "receipt"
    IS_THERE = "is_there"
    NOT_THERE = "not_there"
    CORRECT = "correct"
    RETRY = "retry"
    REFUND = "refund"
    DISMISS = "dismiss"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Situation:
    """How a matter stands found. What it has not to do with is None, or False."""

    kind: TaskKind
    is_open: bool = True
    order: OrderStatus | None = None
    payment: PaymentState | None = None
    is_prompt: bool = True
    """Whether the payment was asked for by us, and did not come by itself."""
    is_held: bool = False
    """Whether nobody asks M-Pesa about the payment any more by itself."""
    has_receipt: bool = False
    """Whether the payment has one."""
    names_receipt: bool = False
    """Whether the task does: it may be another one."""
    receipt: ReceiptState | None = None
    """How that one stands on the register; None where it is not on it."""
    is_proved: bool = False
    """Whether M-Pesa's own books have the payment's receipt."""
    owed_cents: int = 0
    """What is to go back on the order and is not on its way."""
    refund: RefundState | None = None
    """Of a task that is about a refund."""
    refund_under_way: bool = False
    """Whether money of the order, or of the receipt, may be going back just found."""
    claim_is_open: bool = False
    message_waits: bool = False


REPORTS = (TaskKind.MISMATCHED_CALLBACK, TaskKind.UNREADABLE_CALLBACK)
"""What came could not be believed, and moved nothing."""

REVIEWS = (TaskKind.WRONG_AMOUNT, TaskKind.UNKNOWN_PAYMENT, TaskKind.RECEIPT_CONFLICT)
"""Nobody but a person says how these payments ended."""

BEYOND_THE_PROMPT = (TaskKind.WRONG_AMOUNT, TaskKind.RECEIPT_CONFLICT)
"""A payment that has its money may be reported once more: that is money of its own, or none."""

_HAS_MONEY = (PaymentState.SUCCEEDED, PaymentState.REFUNDED)
_ENDED = (PaymentState.FAILED, PaymentState.CANCELLED)


def allowed_actions(found: Situation) -> tuple[Action, ...]:
    """What applies now, the likeliest first. What is decided is decided."""
    if not found.is_open:
        return ()
    return tuple(action for action in Action if _RULES[action](found))


def _may_attach(found: Situation) -> bool:
    is_free = found.receipt == ReceiptState.UNMATCHED and not found.refund_under_way
    return found.kind == TaskKind.UNMATCHED_MONEY and is_free


def _may_be_paid(found: Situation) -> bool:
    if found.kind == TaskKind.PAYMENT_CLAIM:
        return found.claim_is_open
    if found.payment in _HAS_MONEY:
        unknown = found.names_receipt and found.receipt is None
        return found.kind in BEYOND_THE_PROMPT and found.has_receipt and unknown
    return found.kind in (*REVIEWS, *REPORTS) and found.payment is not None


def _may_be_unpaid(found: Situation) -> bool:
    if found.kind == TaskKind.PAYMENT_CLAIM:
        return found.claim_is_open
    is_over = found.is_held if found.payment in LIVE_STATES else found.payment in _ENDED
    return found.kind in REVIEWS and is_over


def _lacks_receipt(found: Situation) -> bool:
    return found.payment == PaymentState.SUCCEEDED and not found.has_receipt


def _may_be_there(found: Situation) -> bool:
    return found.kind == TaskKind.DISPUTED_PAYMENT and found.payment in _HAS_MONEY


def _may_not_be_there(found: Situation) -> bool:
    is_doubted = found.kind in (TaskKind.DISPUTED_PAYMENT, TaskKind.STATEMENT_DIFFERENCE)
    stands = found.payment in _HAS_MONEY and not found.is_proved
    return is_doubted and stands and not found.refund_under_way


def _may_correct(found: Situation) -> bool:
    """Only money that came by itself can be another amount: a prompt is for what it is for."""
    stands = found.payment == PaymentState.SUCCEEDED and found.has_receipt and not found.is_prompt
    return found.kind == TaskKind.STATEMENT_DIFFERENCE and stands and not found.refund_under_way


def _may_retry(found: Situation) -> bool:
    return found.kind == TaskKind.STUCK_MESSAGE and found.message_waits


def _may_refund(found: Situation) -> bool:
    if found.kind == TaskKind.UNMATCHED_MONEY:
        return _may_attach(found)
    has_proof = found.payment is None or found.has_receipt
    return (
        found.kind in (*DEBT_TASKS, TaskKind.REFUND_FAILED) and has_proof and found.owed_cents > 0
    )


def _may_dismiss(found: Situation) -> bool:  # noqa: PLR0911 - one answer for each kind
    """Nothing may be forgotten by it: neither money that is owed nor a payment without an end."""
    if found.kind == TaskKind.UNMATCHED_MONEY:
        return found.receipt != ReceiptState.UNMATCHED or not found.refund_under_way
    if found.kind in (*DEBT_TASKS, TaskKind.REFUND_FAILED):
        return found.owed_cents == 0
    if found.kind in REVIEWS:
        return found.payment is None or found.payment in _HAS_MONEY
    if found.kind == TaskKind.DISPUTED_PAYMENT:
        return found.payment not in _HAS_MONEY
    if found.kind == TaskKind.PAYMENT_CLAIM:
        return not found.claim_is_open
    if found.kind in (TaskKind.REFUND_APPROVAL, TaskKind.UNKNOWN_REFUND):
        return found.refund not in LIVE_REFUNDS
    return True


_RULES: Mapping[Action, Callable[[Situation], bool]] = {
    Action.ATTACH: _may_attach,
    Action.PAID: _may_be_paid,
    Action.NOT_PAID: _may_be_unpaid,
    Action.RECEIPT: _lacks_receipt,
    Action.IS_THERE: _may_be_there,
    Action.NOT_THERE: _may_not_be_there,
    Action.CORRECT: _may_correct,
    Action.RETRY: _may_retry,
    Action.REFUND: _may_refund,
    Action.DISMISS: _may_dismiss,
    Action.NOTE: lambda _found: True,
}
