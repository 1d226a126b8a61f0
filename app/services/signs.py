"""When news last came, and what has waited too long: what tells a healthy shop from a deaf one."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import (
    InboxMessage,
    InboxSource,
    Payment,
    PaymentKind,
    PaymentState,
)


def last_confirmation_at(session: Session) -> datetime | None:
    """When Safaricom last told of a payment from the menu."""
    return session.scalar(
        select(InboxMessage.received_at)
        .where(InboxMessage.source == InboxSource.C2B_CONFIRMATION)
        .order_by(InboxMessage.id.desc())
        .limit(1)
    )


def last_prompt_paid_at(session: Session) -> datetime | None:
    """When the youngest prompt that was paid was paid."""
    return session.scalar(
        select(Payment.finished_at)
        .where(Payment.kind == PaymentKind.STK_PUSH, Payment.status == PaymentState.SUCCEEDED)
        .order_by(Payment.id.desc())
        .limit(1)
    )


def oldest_unread_message_at(session: Session) -> datetime | None:
    """Since when the message that waits longest has been here."""
    return session.scalar(
        select(func.min(InboxMessage.received_at)).where(InboxMessage.processed_at.is_(None))
    )


def most_overdue_check_at(session: Session) -> datetime | None:
    """When the payment should have been asked about whose turn is longest past."""
    return session.scalar(select(func.min(Payment.next_check_at)))
