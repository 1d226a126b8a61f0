"""What is known of a payment, how it may end, and how it is locked to act on that."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from app.models import (
    Order,
    Payment,
    PaymentState,
)
from app.services.move_order import lock_with_order

CLOCKS_DIFFER = timedelta(minutes=2)
"""How far M-Pesa's clock and ours may be apart, and no more than that."""


class Settlement(StrEnum):
    """What became of a piece of evidence."""

    SETTLED = "settled"
    ALREADY_SETTLED = "already_settled"
    FAILED = "failed"
    ALREADY_FINAL = "already_final"
    HELD_FOR_REVIEW = "held_for_review"
    RECEIPT_CONFLICT = "receipt_conflict"


@dataclass(frozen=True, slots=True)
class Proof:
    """That money came in. A status query proves it without a receipt; the amount is then the one
    that was asked for, as M-Pesa takes no other for a prompt, but nobody has reported it.
    """

    source: str
    result_code: str
    result_desc: str
    receipt: str | None = None
    amount_verified: bool = False
    decides_review: bool = False
    """Whether it comes from M-Pesa's books, so that no contradiction before it counts any more."""
    bill_reference: str | None = None
    transacted_at: datetime | None = None
    payer_phone: str | None = None
    payer_name: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """That a prompt ended without money, and what the payer is told.

    ``look_again_after`` is for an end that nobody decided: M-Pesa is asked once more by then.
    """

    source: str
    status: PaymentState
    result_code: str
    result_desc: str
    customer_message: str
    alert: bool = False
    look_again_after: timedelta | None = None


def lock_payment(session: Session, payment_id: int) -> tuple[Order, Payment]:
    """The order, then its payment, both as they are now and locked until the end."""
    return lock_with_order(session, Payment, payment_id)
