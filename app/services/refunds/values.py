"""What refunds are asked for by, decided by, and told of."""

from dataclasses import dataclass
from enum import StrEnum

from app.models import RefundKind


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What an admin asks for. Without an amount it is all that is left; without a method it is the
    surest that is set up. ``seen_refunds`` is how many refunds of this money whoever asks has seen:
    a form that is sent again has seen one too few.
    """

    reason: str
    amount_cents: int | None = None
    method: RefundKind | None = None
    restock: bool = False
    seen_refunds: int | None = None


@dataclass(frozen=True, slots=True)
class RefundRules:
    """What is set up with Safaricom, from which amount on two people are needed, and when to look
    first what became of a refund, or of one that a person does by hand.
    """

    approval_above_shillings: int
    can_reverse: bool
    can_pay_out: bool
    max_amount_shillings: int
    first_check_seconds: float
    by_hand_check_seconds: float


class RefundVerdict(StrEnum):
    """What is said of a refund's money."""

    WENT = "went"
    DID_NOT_GO = "did_not_go"
    NOBODY_KNOWS = "nobody_knows"


@dataclass(frozen=True, slots=True)
class RefundNews:
    """What M-Pesa says became of a refund. ``sentence`` is for the office.

    ``receipt`` and ``amount_cents`` are of the money that went back, ``original_receipt`` of the
    payment that it came from; None where nobody said. ``our_fault``: our settings must be mended.
    """

    source: str
    verdict: RefundVerdict
    sentence: str
    result_code: str | None = None
    receipt: str | None = None
    amount_cents: int | None = None
    original_receipt: str | None = None
    our_fault: bool = False
