"""What M-Pesa's own books say, as we fetched or were given them, and what customers claim."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import (
    MAX_CENTS,
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


class StatementSource(StrEnum):
    """PULL is Safaricom's Pull Transactions API, FILE the organisation statement of the portal."""

    PULL = "pull"
    FILE = "file"


class LineKind(StrEnum):
    """What moved: PAYMENT is money that somebody paid us, REVERSAL one that M-Pesa undid, PAYOUT
    money that we sent to a phone, CHARGE M-Pesa's fee, TRANSFER a move between our own accounts
    or to the bank, OTHER whatever else went out.
    """

    PAYMENT = "payment"
    REVERSAL = "reversal"
    PAYOUT = "payout"
    CHARGE = "charge"
    TRANSFER = "transfer"
    OTHER = "other"


class StatementImport(Base):
    """One reading of M-Pesa's books: which period it covers and what was new in it.

    It covers nothing before ``finished_at`` is set. ``shortcode`` is whose books they are, where
    they say so. ``place`` is how many rows of M-Pesa's list were taken from its beginning on, and
    ``place_receipt`` the last of them: there a reading that was broken off is gone on with.
    """

    __tablename__ = "statement_imports"
    __table_args__ = table(
        one_of("source", StatementSource),
        *[
            whole(name, 0, MAX_COUNT)
            for name in ("row_count", "fresh_count", "different_count", "unreadable_count")
        ],
        Index("ix_statement_imports_source_covers_to", "source", "covers_to"),
    )

    id: Mapped[Id]
    source: Mapped[Code]
    file_name: Mapped[str | None] = mapped_column(String(200))
    shortcode: Mapped[str | None] = mapped_column(String(20))
    actor_id: Mapped[int | None] = refers_to("users.id")
    covers_from: Mapped[When]
    covers_to: Mapped[When]
    row_count: Mapped[Quantity] = mapped_column(default=0)
    fresh_count: Mapped[Quantity] = mapped_column(default=0)
    different_count: Mapped[Quantity] = mapped_column(default=0)
    unreadable_count: Mapped[Quantity] = mapped_column(default=0)
    place: Mapped[Quantity] = mapped_column(default=0, server_default="0")
    place_receipt: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[When]
    finished_at: Mapped[datetime | None] = mapped_column(Moment)


class StatementLine(Base):
    """One line of M-Pesa's books: above zero came in, below zero went out.

    A payment and its charge have the same receipt. ``linked_receipt`` is what a reversal undoes.
    """

    __tablename__ = "statement_lines"
    __table_args__ = table(
        one_of("kind", LineKind),
        whole("amount_cents", -MAX_CENTS),
        UniqueConstraint("receipt", "details", "amount_cents"),
        Index("ix_statement_lines_transacted_at", "transacted_at"),
        Index("ix_statement_lines_linked_receipt", "linked_receipt"),
        Index("ix_statement_lines_import_id", "import_id"),
    )

    id: Mapped[Id]
    import_id: Mapped[int] = refers_to("statement_imports.id")
    receipt: Mapped[str] = mapped_column(String(20))
    linked_receipt: Mapped[str | None] = mapped_column(String(20))
    kind: Mapped[Code]
    amount_cents: Mapped[Cents]
    transacted_at: Mapped[When]
    details: Mapped[str] = mapped_column(String(200), default="")
    bill_reference: Mapped[str | None] = mapped_column(String(40))
    other_party: Mapped[str | None] = mapped_column(String(120))
    created_at: Mapped[When]


class ClaimState(StrEnum):
    """OPEN is being looked into; the others say how it ended."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITH_A_PERSON = "with_a_person"


UNDECIDED_CLAIMS = (ClaimState.OPEN, ClaimState.WITH_A_PERSON)
"""Nobody knows yet whether the money is the claimant's: no second claim of it meanwhile."""

IS_UNDECIDED_CLAIM = text("state IN ('open', 'with_a_person')")


class PaymentClaim(Base):
    """A customer says: "I have paid", and names the receipt. It proves nothing by itself."""

    __tablename__ = "payment_claims"
    __table_args__ = table(
        one_of("state", ClaimState),
        Index(
            "uq_payment_claims_one_undecided_per_receipt",
            "receipt",
            unique=True,
            sqlite_where=IS_UNDECIDED_CLAIM,
            postgresql_where=IS_UNDECIDED_CLAIM,
        ),
        Index("ix_payment_claims_order_id_id", "order_id", "id"),
        Index("ix_payment_claims_user_id_created_at", "user_id", "created_at"),
        Index("ix_payment_claims_state_next_check_at", "state", "next_check_at"),
    )

    id: Mapped[Id]
    order_id: Mapped[int] = refers_to("orders.id")
    user_id: Mapped[int] = refers_to("users.id")
    receipt: Mapped[str] = mapped_column(String(20))
    state: Mapped[Code] = mapped_column(default=ClaimState.OPEN)
    message: Mapped[str | None] = mapped_column(String(300))
    next_check_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[When]
    updated_at: Mapped[When]
