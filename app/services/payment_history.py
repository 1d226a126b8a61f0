"""All that is known of one payment, for whoever has to find out what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import LIVE_STATES, InboxMessage, Order, Payment, PaymentEvent


@dataclass(frozen=True, slots=True)
class PaymentHistory:
    """A payment with its order, its steps, and what Safaricom posted about it; oldest first."""

    payment: Payment
    order: Order
    events: Sequence[PaymentEvent]
    messages: Sequence[InboxMessage]


def read_payment_history(session: Session, payment_id: int) -> PaymentHistory:
    """Scoped to nobody: it is for the command line. Raises NotFound."""
    payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound(f"There is no payment {payment_id}.", code="transaction_not_found")
    events = select(PaymentEvent).where(PaymentEvent.payment_id == payment_id)
    messages = select(InboxMessage).where(InboxMessage.payment_id == payment_id)
    return PaymentHistory(
        payment=payment,
        order=session.get_one(Order, payment.order_id),
        events=session.scalars(events.order_by(PaymentEvent.id)).all(),
        messages=session.scalars(messages.order_by(InboxMessage.id)).all(),
    )


def make_checks_due(session: Session, now: datetime, payment_id: int | None = None) -> list[int]:
    """Have every open payment (or this one) looked at now; answers their ids, oldest first.

    What waits for a person, or has no id that Safaricom could be asked by, is left alone.
    """
    open_ones = update(Payment).where(
        Payment.status.in_(LIVE_STATES),
        Payment.review_reason.is_(None),
        Payment.checkout_request_id.is_not(None),
    )
    if payment_id is not None:
        open_ones = open_ones.where(Payment.id == payment_id)
    hastened = open_ones.values(next_check_at=now).returning(Payment.id)
    return sorted(session.scalars(hastened.execution_options(synchronize_session=False)))
