"""Confirmations that tell of money and cannot be counted, and which payment one was about."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import InboxMessage, MpesaReceipt, TaskKind
from app.services.records import Matter, file_task


def report_unreadable_confirmation(
    session: Session, message: InboxMessage, reason: str, now: datetime
) -> str:
    """Money came, and nobody can read how much or for what: a person looks it up."""
    _report(
        session,
        TaskKind.UNREADABLE_CALLBACK,
        message,
        f"It could not be read: {reason}.",
        now,
    )
    return "unreadable"


def report_foreign_confirmation(
    session: Session, message: InboxMessage, shortcode: str, now: datetime
) -> str:
    """Money came to a number that is none of ours as far as the settings know."""
    _report(
        session,
        TaskKind.MISMATCHED_CALLBACK,
        message,
        f"It names the number {shortcode}, which is neither MPESA_SHORTCODE, MPESA_TILL nor"
        " MPESA_C2B_SHORTCODE.",
        now,
    )
    return "foreign"


def link_to_payment(session: Session, message: InboxMessage, receipt: str) -> None:
    """Let the message be found under the payment that its receipt is counted for."""
    row = session.get(MpesaReceipt, receipt)
    if row is not None and row.payment_id is not None:
        message.payment_id = row.payment_id
        session.flush()


def _report(
    session: Session, kind: TaskKind, message: InboxMessage, sentence: str, now: datetime
) -> None:
    matter = Matter(
        kind=kind,
        title=f"A notice of money cannot be counted (inbox {message.id})",
        description=f"{sentence} It is kept whole as inbox message {message.id}, and nothing was"
        " booked. Look on the M-Pesa statement which payment it was.",
        dedupe_key=f"confirmation:{message.id}",
    )
    file_task(session, matter, now)
    session.flush()
