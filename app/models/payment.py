"""Payments: each with its history, the receipts that prove them, what Safaricom sent."""

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
    """STK_PUSH is asked for by us; PAYBILL came by itself, to our paybill or till number."""

    STK_PUSH = "stk_push"
    PAYBILL = "paybill"


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

    A prompt is on record before Safaricom is called; its ``amount_cents`` is what was asked for, in
    whole shillings, and what an answer is held against. Money that came to the paybill is on record
    as ``succeeded`` from the start: no prompt, no secret, and a phone only where M-Pesa showed it
    whole. ``next_check_at`` is when the reconciler looks
    at it next; ``leased_until`` keeps a second worker off it meanwhile. ``review_reason`` is set
    when what was reported contradicts what was asked: from then on only a person decides.
    """

    __tablename__ = "payments"
    __table_args__ = table(
        one_of("status", PaymentState),
        one_of("kind", PaymentKind),
        whole("amount_cents", 1),
        whole("check_count", 0, MAX_COUNT),
        CheckConstraint(
            "kind <> 'stk_push' OR amount_cents % 100 = 0", name="amount_cents_whole_shillings"
        ),
        CheckConstraint(
            "kind <> 'stk_push' OR (msisdn IS NOT NULL AND callback_secret_hash IS NOT NULL)",
            name="prompt_has_phone_and_secret",
        ),
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
    msisdn: Mapped[str | None] = mapped_column(String(12))
    callback_secret_hash: Mapped[str | None] = mapped_column(String(64))
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

    @property
    def prompted_msisdn(self) -> str:
        """The phone that a prompt goes to. Raises RuntimeError for money that came by itself."""
        if self.msisdn is None:
            raise RuntimeError(f"Payment {self.id} is no prompt.")
        return self.msisdn


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


class ReceiptState(StrEnum):
    """MATCHED is counted for a payment; UNMATCHED waits for a person, the others had one.

    WRITTEN_OFF was counted for the payment that it still names, and was not there.
    """

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    REFUNDED = "refunded"
    DISMISSED = "dismissed"
    WRITTEN_OFF = "written_off"


class MoneySource(StrEnum):
    """The roads by which news of money reach us; all lead into one register of receipts."""

    CALLBACK = "callback"
    QUERY = "query"
    C2B = "c2b"
    PULL = "pull"
    STATUS = "status"
    STATEMENT = "statement"
    PERSON = "person"


class MpesaReceipt(Base):
    """Every receipt that was ever reported, by whichever road: its key makes it count once.

    What the payer typed as account and who they are is kept as M-Pesa showed it: the phone may be
    whole, masked or a hash. ``payment_id`` is empty while nobody knows which order it belongs to.
    """

    __tablename__ = "mpesa_receipts"
    __table_args__ = (
        whole("amount_cents", 0),
        one_of("state", ReceiptState),
        CheckConstraint(
            "state <> 'matched' OR payment_id IS NOT NULL", name="matched_has_a_payment"
        ),
        Index("ix_mpesa_receipts_state_created_at", "state", "created_at"),
        Index("ix_mpesa_receipts_transacted_at", "transacted_at"),
    )

    receipt: Mapped[str] = mapped_column(String(20), primary_key=True)
    payment_id: Mapped[int | None] = refers_to("payments.id", index=True)
    amount_cents: Mapped[Cents]
    source: Mapped[Code]
    state: Mapped[Code] = mapped_column(default=ReceiptState.MATCHED)
    bill_reference: Mapped[str | None] = mapped_column(String(40))
    payer_phone: Mapped[str | None] = mapped_column(String(64))
    payer_name: Mapped[str | None] = mapped_column(String(120))
    transacted_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[When]


class InboxSource(StrEnum):
    STK_CALLBACK = "stk_callback"
    UNSIGNED_CALLBACK = "unsigned_callback"
    C2B_CONFIRMATION = "c2b_confirmation"
    API_RESULT = "api_result"
    QUEUE_TIMEOUT = "queue_timeout"


class InboxMessage(Base):
    """What Safaricom (or somebody else) posted, byte for byte, kept before anybody reads it."""

    __tablename__ = "callback_inbox"
    __table_args__ = table(
        one_of("source", InboxSource),
        whole("attempts", 0, MAX_COUNT),
        Index("ix_callback_inbox_processed_at_id", "processed_at", "id"),
        Index("ix_callback_inbox_payment_id", "payment_id"),
        Index("ix_callback_inbox_request_id", "request_id"),
    )

    id: Mapped[Id]
    source: Mapped[Code]
    payment_id: Mapped[int | None] = refers_to("payments.id")
    request_id: Mapped[int | None] = refers_to("mpesa_requests.id")
    body: Mapped[bytes] = mapped_column(LargeBinary)
    truncated: Mapped[bool] = mapped_column(Boolean, default=False)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    remote_addr: Mapped[str | None] = mapped_column(String(45))
    received_at: Mapped[When]
    processed_at: Mapped[datetime | None] = mapped_column(Moment)
    attempts: Mapped[Quantity] = mapped_column(default=0)
    outcome: Mapped[Code | None]
    error: Mapped[str | None] = mapped_column(Text)
