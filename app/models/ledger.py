"""The books: double entry, append-only, enforced by triggers in the database itself."""

from enum import StrEnum

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import (
    MAX_CENTS,
    Base,
    Cents,
    Code,
    Id,
    When,
    one_of,
    refers_to,
    table,
    whole,
)


class LedgerEventKind(StrEnum):
    """PAYMENT, SALE and REFUND are an order's. UNMATCHED is money without an order, MATCHED its end
    when the order was found, DISMISSED when it is no business of the shop. SET_ASIDE turns an
    order's part payments into a refund due, RECLAIM turns that back when the rest came late.
    CORRECTION is a person's: what was booked before was not so.
    """

    PAYMENT = "payment"
    SALE = "sale"
    REFUND = "refund"
    UNMATCHED = "unmatched"
    MATCHED = "matched"
    DISMISSED = "dismissed"
    SET_ASIDE = "set_aside"
    RECLAIM = "reclaim"
    CORRECTION = "correction"


class Account(StrEnum):
    """MPESA is money that we hold; CUSTOMER is what we owe for goods not yet sold; SALES is
    earned; ROUNDING is the part of a shilling that M-Pesa cannot move; REFUNDS_DUE is to go back,
    and REFUNDS was given back for goods that had been sold. UNMATCHED is held for nobody knows
    whom; OUTSIDE came to our number but is not the shop's. LOSSES is money that we believed in,
    gave goods or money for, and that never came.
    """

    MPESA = "mpesa"
    CUSTOMER = "customer"
    SALES = "sales"
    ROUNDING = "rounding"
    REFUNDS_DUE = "refunds_due"
    REFUNDS = "refunds"
    UNMATCHED = "unmatched"
    OUTSIDE = "outside"
    LOSSES = "losses"


class LedgerEvent(Base):
    """Something that happened to money, once: ``reference`` is unique within its kind.

    ``order_id`` is empty only for money that has no order.
    """

    __tablename__ = "ledger_events"
    __table_args__ = table(
        one_of("kind", LedgerEventKind),
        UniqueConstraint("kind", "reference"),
        Index("ix_ledger_events_order_id", "order_id"),
        Index("ix_ledger_events_kind_created_at", "kind", "created_at"),
        Index("ix_ledger_events_payment_id", "payment_id"),
    )

    id: Mapped[Id]
    kind: Mapped[Code]
    reference: Mapped[str] = mapped_column(String(60))
    order_id: Mapped[int | None] = refers_to("orders.id")
    payment_id: Mapped[int | None] = refers_to("payments.id")
    created_at: Mapped[When]


class LedgerEntry(Base):
    """One side of an event, in cents, debit above zero and credit below; an event adds up to 0."""

    __tablename__ = "ledger_entries"
    __table_args__ = table(
        one_of("account", Account),
        whole("amount_cents", -MAX_CENTS),
        UniqueConstraint("event_id", "account"),
        Index("ix_ledger_entries_order_id_account", "order_id", "account"),
    )

    id: Mapped[Id]
    event_id: Mapped[int] = refers_to("ledger_events.id")
    order_id: Mapped[int | None] = refers_to("orders.id")
    account: Mapped[Code]
    amount_cents: Mapped[Cents]
    created_at: Mapped[When]
