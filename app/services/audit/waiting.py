"""The invariants of what waits too long: I7 and I8."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, cast, exists, literal, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    UNDECIDED_CLAIMS,
    InboxMessage,
    Payment,
    PaymentClaim,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.audit.finding import Finding


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """How long a payment may stay open without a person being told."""

    open_payment_seconds: float = 86_400 + 3_600
    inbox_seconds: float = 60


def find_forgotten_payments(
    session: Session, now: datetime, limits: AuditLimits
) -> Iterator[Finding]:
    deadline = now - timedelta(seconds=limits.open_payment_seconds)
    for row in session.execute(
        select(Payment.id, Payment.status, Payment.created_at)
        .where(
            Payment.status.in_(LIVE_STATES),
            or_(
                Payment.created_at < deadline,
                Payment.next_check_at.is_(None),
            ),
            ~exists().where(Task.payment_id == Payment.id, Task.status != TaskStatus.DONE),
        )
        .order_by(Payment.id)
    ):
        yield Finding(
            "I7", f"payment {row.id}", f"{row.status} since {row.created_at:%Y-%m-%d %H:%M} UTC"
        )


def find_forgotten_claims(
    session: Session, now: datetime, limits: AuditLimits
) -> Iterator[Finding]:
    """A customer waits for an answer, and neither M-Pesa nor a person is looking for it."""
    deadline = now - timedelta(seconds=limits.open_payment_seconds)
    key = literal(f"{TaskKind.PAYMENT_CLAIM}:") + cast(PaymentClaim.id, String)
    for row in session.execute(
        select(PaymentClaim.id, PaymentClaim.state, PaymentClaim.created_at)
        .where(
            PaymentClaim.state.in_(UNDECIDED_CLAIMS),
            or_(PaymentClaim.created_at < deadline, PaymentClaim.next_check_at.is_(None)),
            ~exists().where(Task.dedupe_key == key),
        )
        .order_by(PaymentClaim.id)
    ):
        yield Finding(
            "I7", f"claim {row.id}", f"{row.state} since {row.created_at:%Y-%m-%d %H:%M} UTC"
        )


def find_forgotten_messages(
    session: Session, now: datetime, limits: AuditLimits
) -> Iterator[Finding]:
    deadline = now - timedelta(seconds=limits.inbox_seconds)
    stuck_key = literal("stuck_message:") + cast(InboxMessage.id, String)
    for row in session.execute(
        select(InboxMessage.id, InboxMessage.received_at)
        .where(
            InboxMessage.processed_at.is_(None),
            InboxMessage.received_at < deadline,
            ~exists().where(Task.dedupe_key == stuck_key),
        )
        .order_by(InboxMessage.id)
    ):
        yield Finding(
            "I8", f"inbox message {row.id}", f"waits since {row.received_at:%Y-%m-%d %H:%M:%S} UTC"
        )
