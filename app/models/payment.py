"""Payments: an attempt each, its history, the receipts that prove them, what Safaricom sent."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, Boolean, CheckConstraint, Index, LargeBinary, String, Text, text
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


class PaymentKind(StrEnum):
    STK_PUSH = "stk_push"


class PaymentState(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    REFUNDED = "refunded"


LIVE_STATES = (PaymentState.CREATED, PaymentState.PENDING, PaymentState.UNKNOWN)
"""A prompt may still be out, or money under way: no second prompt, no expiry."""

_LIVE = text("status IN ('created', 'pending', 'unknown')")


class Payment(Base):
    """One attempt to be paid for one order: the *transaction* of the API.

    It is on record before Safaricom is called. ``amount_cents`` is what was asked for, in whole
    shillings, and what an answer is held against. ``next_check_at`` is when the reconciler looks
    at it next; ``leased_until`` keeps a second worker off it meanwhile. ``review_reason`` is set
    when what was reported contradicts what was asked: from then on only a person decides.
    """

    __tablename__ = "payments"
    __table_args__ = table(
        one_of("status", PaymentState),
        one_of("kind", PaymentKind),
        whole("amount_cents", 100),
        whole("check_count", 0, MAX_COUNT),
        CheckConstraint("amount_cents % 100 = 0", name="amount_cents_whole_shillings"),
        Index(
            "uq_payments_one_live_per_order",
            "order_id",
            unique=True,
            sqlite_where=_LIVE,
            postgresql_where=_LIVE,
        ),
        Index("ix_payments_order_id_id", "order_id", "id"),
        Index("ix_payments_user_id_id", "user_id", "id"),
        Index("ix_payments_status_id", "status", "id"),
        Index("ix_payments_created_at_status", "created_at", "status"),
        Index("ix_payments_msisdn_id", "msisdn", "id"),
        Index("ix_payments_next_check_at", "next_check_at"),
    )

    id: Mapped[Id]
    order_id: Mapped[int] = refers_to("orders.id")
    user_id: Mapped[int] = refers_to("users.id")
    kind: Mapped[Code] = mapped_column(default=PaymentKind.STK_PUSH)
    status: Mapped[Code] = mapped_column(default=PaymentState.CREATED)
    amount_cents: Mapped[Cents]
    msisdn: Mapped[str] = mapped_column(String(12))
    callback_secret_hash: Mapped[str] = mapped_column(String(64))
    merchant_request_id: Mapped[str | None] = mapped_column(String(100))
    checkout_request_id: Mapped[str | None] = mapped_column(String(100), unique=True)
    mpesa_receipt: Mapped[str | None] = mapped_column(String(20), unique=True)
    amount_verified: Mapped[bool] = mapped_column(Boolean, default=False)
    result_code: Mapped[str | None] = mapped_column(String(40))
    result_desc: Mapped[str | None] = mapped_column(String(300))
    customer_message: Mapped[str | None] = mapped_column(String(300))
    review_reason: Mapped[str | None] = mapped_column(String(40))
    next_check_at: Mapped[datetime | None] = mapped_column(Moment)
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    check_count: Mapped[Quantity] = mapped_column(default=0)
    created_at: Mapped[When]
    updated_at: Mapped[When]
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class PaymentEvent(Base):
    """One step of a payment's life and where the news came from. Never updated."""

    __tablename__ = "payment_events"
    __table_args__ = table(Index("ix_payment_events_payment_id_id", "payment_id", "id"))

    id: Mapped[Id]
    payment_id: Mapped[int] = refers_to("payments.id")
    from_status: Mapped[Code | None]
    to_status: Mapped[Code]
    source: Mapped[Code]
    detail: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[When]


class MpesaReceipt(Base):
    """Every receipt that was ever reported, by whichever road: its key makes it count once."""

    __tablename__ = "mpesa_receipts"
    __table_args__ = (whole("amount_cents", 0),)

    receipt: Mapped[str] = mapped_column(String(20), primary_key=True)
    payment_id: Mapped[int] = refers_to("payments.id", index=True)
    amount_cents: Mapped[Cents]
    source: Mapped[Code]
    created_at: Mapped[When]


class InboxSource(StrEnum):
    STK_CALLBACK = "stk_callback"
    UNSIGNED_CALLBACK = "unsigned_callback"


class InboxMessage(Base):
    """What Safaricom (or somebody else) posted, byte for byte, kept before anybody reads it."""

    __tablename__ = "callback_inbox"
    __table_args__ = table(
        one_of("source", InboxSource),
        whole("attempts", 0, MAX_COUNT),
        Index("ix_callback_inbox_processed_at_id", "processed_at", "id"),
        Index("ix_callback_inbox_payment_id", "payment_id"),
    )

    id: Mapped[Id]
    source: Mapped[Code]
    payment_id: Mapped[int | None] = refers_to("payments.id")
    body: Mapped[bytes] = mapped_column(LargeBinary)
    truncated: Mapped[bool] = mapped_column(Boolean, default=False)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    remote_addr: Mapped[str | None] = mapped_column(String(45))
    received_at: Mapped[When]
    processed_at: Mapped[datetime | None] = mapped_column(Moment)
    attempts: Mapped[Quantity] = mapped_column(default=0)
    outcome: Mapped[Code | None]
    error: Mapped[str | None] = mapped_column(Text)
