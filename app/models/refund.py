"""Money that goes back, and the requests to Safaricom whose result comes later."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, CheckConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import (
    MAX_COUNT,
    Base,
    Cents,
    Code,
    Id,
    Moment,
    Quantity,
    When,
    one_of,
    refers_to,
    table,
    whole,
)


class RefundKind(StrEnum):
    """REVERSAL gives a whole M-Pesa payment back; PAYOUT (B2C) any part of it; BY_HAND was done
    in M-Pesa's portal by a person, who tells us its receipt.
    """

    REVERSAL = "reversal"
    PAYOUT = "payout"
    BY_HAND = "by_hand"


class RefundState(StrEnum):
    """AWAITING_APPROVAL wants a second pair of eyes; CREATED is on record and may be sent."""

    AWAITING_APPROVAL = "awaiting_approval"
    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    REJECTED = "rejected"


LIVE_REFUNDS = (
    RefundState.AWAITING_APPROVAL,
    RefundState.CREATED,
    RefundState.PENDING,
    RefundState.UNKNOWN,
)
"""The money may still go: no second refund of it meanwhile."""

_LIVE = text("state IN ('awaiting_approval', 'created', 'pending', 'unknown')")


class Refund(Base):
    """One giving back of money from one receipt.

    It is on record before Safaricom is asked, and never asked for twice by itself. ``payment_id``
    and ``order_id`` are empty for money that never found an order. ``receipt`` is the payment's,
    ``refund_receipt`` M-Pesa's for the refund. ``restock`` puts the goods back on the shelf when a
    whole order is refunded.
    """

    __tablename__ = "refunds"
    __table_args__ = table(
        one_of("kind", RefundKind),
        one_of("state", RefundState),
        whole("amount_cents", 1),
        whole("check_count", 0, MAX_COUNT),
        CheckConstraint("approved_by <> requested_by", name="approved_by_another"),
        Index(
            "uq_refunds_one_live_per_receipt",
            "receipt",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
        Index("ix_refunds_order_id_id", "order_id", "id"),
        Index("ix_refunds_payment_id", "payment_id"),
        Index("ix_refunds_state_id", "state", "id"),
        Index("ix_refunds_next_check_at", "next_check_at"),
    )

    id: Mapped[Id]
    kind: Mapped[Code]
    state: Mapped[Code]
    order_id: Mapped[int | None] = refers_to("orders.id")
    payment_id: Mapped[int | None] = refers_to("payments.id")
    receipt: Mapped[str] = mapped_column(String(20))
    amount_cents: Mapped[Cents]
    msisdn: Mapped[str | None] = mapped_column(String(12))
    reason: Mapped[str] = mapped_column(String(300))
    restock: Mapped[bool] = mapped_column(Boolean, default=False)
    requested_by: Mapped[int] = refers_to("users.id")
    approved_by: Mapped[int | None] = refers_to("users.id")
    refund_receipt: Mapped[str | None] = mapped_column(String(20), unique=True)
    result_code: Mapped[str | None] = mapped_column(String(40))
    result_desc: Mapped[str | None] = mapped_column(String(300))
    next_check_at: Mapped[datetime | None] = mapped_column(Moment)
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    check_count: Mapped[Quantity] = mapped_column(default=0)
    created_at: Mapped[When]
    updated_at: Mapped[When]
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class RefundEvent(Base):
    """One step of a refund's life, and by whom or by which news. Never updated."""

    __tablename__ = "refund_events"
    __table_args__ = table(Index("ix_refund_events_refund_id_id", "refund_id", "id"))

    id: Mapped[Id]
    refund_id: Mapped[int] = refers_to("refunds.id")
    from_state: Mapped[Code | None]
    to_state: Mapped[Code]
    source: Mapped[Code]
    actor_id: Mapped[int | None] = refers_to("users.id")
    detail: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[When]


class RequestKind(StrEnum):
    """What Safaricom acknowledges at once and answers later, at an address that we name."""

    REVERSAL = "reversal"
    PAYOUT = "payout"
    STATUS = "status"
    BALANCE = "balance"


class RequestState(StrEnum):
    """SENT was acknowledged; UNKNOWN may have arrived; ANSWERED has its result; EXPIRED never got
    one and is asked no more.
    """

    CREATED = "created"
    SENT = "sent"
    ANSWERED = "answered"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    EXPIRED = "expired"


_MOVES_MONEY = text("kind IN ('reversal', 'payout')")


class MpesaRequest(Base):
    """One request to an API of Safaricom that answers later.

    The row comes before the network; its id and a secret of its own are in the address that the
    result comes to. ``originator_id`` is ours, where the API takes one, else Safaricom's. A refund
    has one that moves money, and never a second; questions about it as many as it takes.
    """

    __tablename__ = "mpesa_requests"
    __table_args__ = table(
        one_of("kind", RequestKind),
        one_of("state", RequestState),
        Index("ix_mpesa_requests_refund_id", "refund_id"),
        Index(
            "uq_mpesa_requests_one_sending_per_refund",
            "refund_id",
            unique=True,
            sqlite_where=_MOVES_MONEY,
            postgresql_where=_MOVES_MONEY,
        ),
        Index("ix_mpesa_requests_claim_id", "claim_id"),
        Index("ix_mpesa_requests_originator_id", "originator_id"),
        Index("ix_mpesa_requests_conversation_id", "conversation_id"),
        Index("ix_mpesa_requests_state_created_at", "state", "created_at"),
    )

    id: Mapped[Id]
    kind: Mapped[Code]
    state: Mapped[Code] = mapped_column(default=RequestState.CREATED)
    refund_id: Mapped[int | None] = refers_to("refunds.id")
    claim_id: Mapped[int | None] = refers_to("payment_claims.id")
    receipt: Mapped[str | None] = mapped_column(String(20))
    secret_hash: Mapped[str] = mapped_column(String(64))
    originator_id: Mapped[str | None] = mapped_column(String(100))
    conversation_id: Mapped[str | None] = mapped_column(String(100))
    result_code: Mapped[str | None] = mapped_column(String(40))
    result_desc: Mapped[str | None] = mapped_column(String(300))
    result: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[When]
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    answered_at: Mapped[datetime | None] = mapped_column(Moment)
