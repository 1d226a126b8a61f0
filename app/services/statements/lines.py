"""What one reading of M-Pesa's books consists of, wherever it comes from."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from app.models import LineKind

MOST_LISTED = 1_000
"""Faults that are kept with their line; those beyond are counted only."""


@dataclass(frozen=True, slots=True)
class BookLine:
    """One line: cents above zero came in. ``number`` is the line of its file, or 0."""

    receipt: str
    kind: LineKind
    amount_cents: int
    transacted_at: datetime
    number: int = 0
    details: str = ""
    linked_receipt: str | None = None
    bill_reference: str | None = None
    other_party: str | None = None
    payer_phone: str | None = None
    payer_name: str | None = None
    conversation_id: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it the same line in another reading."""
        return self.receipt, self.details, self.amount_cents


@dataclass(frozen=True, slots=True)
class LineFault:
    """Why a line could not be read. It may be money: nobody knows."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A line that is no movement of money: a total, a heading, a payment that failed."""

    number: int


@dataclass(slots=True)
class Tally:
    """What became of the lines of one reading. Amounts are of what was recovered by it.

    ``lines`` counts the movements of money, ``fresh`` those that no reading had shown before.
    ``recovered`` was money that the shop did not know, and found its order; ``unmatched`` found
    none; ``different`` is known with another amount. ``unbooked`` failed by a fault of our own.
    """

    lines: int = 0
    fresh: int = 0
    recovered: int = 0
    recovered_cents: int = 0
    unmatched: int = 0
    unmatched_cents: int = 0
    different: int = 0
    refunds: int = 0
    earlier: int = 0
    unbooked: int = 0
    passed_over: int = 0
    unreadable: int = 0
    kinds: Counter[LineKind] = field(default_factory=Counter)
    faults: list[LineFault] = field(default_factory=list)

    @property
    def payments(self) -> int:
        """Those that somebody paid us."""
        return self.kinds[LineKind.PAYMENT]

    @property
    def reversals(self) -> int:
        """Payments that M-Pesa undid, for us or for anybody."""
        return self.kinds[LineKind.REVERSAL]

    def forget_lines(self) -> None:
        """The list is read from its beginning again; what came to light meanwhile stays so."""
        self.lines = self.different = self.earlier = self.unbooked = self.unreadable = 0
        self.kinds.clear()

    def refuse(self, fault: LineFault) -> None:
        self.unreadable += 1
        if len(self.faults) < MOST_LISTED:
            self.faults.append(fault)
