"""What both books are made of, as plain values: movements, bookings, and what people were told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class What(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Subject:
    """A payment or a refund of the shop."""

    what: What
    id: int

    def __str__(self) -> str:
        return f"{self.what} {self.id}"


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody paid for from the phone's menu, and whether its number was typed right."""

    order: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that left one hand and reached another, whatever anybody was told.

    ``names`` are the ids under which others may know it, its receipt among them. ``order`` is the
    number of the order that it has to be booked for, or None where it names none of the shop's:
    then ``meant`` is the order that its payer had in mind, if anybody knows, and no other may have
    it.
    """

    receipt: str
    cents: int
    order: str | None
    phone: str
    names: frozenset[str]
    moved_at: datetime
    meant: str | None = None
    is_from_menu: bool = False


@dataclass(frozen=True, slots=True)
class Booking:
    """One event of the ledger that changed what the shop holds at M-Pesa.

    ``about`` is the payment or the refund that it stands for.
    """

    event_id: int
    cents: int
    order: str | None
    names: frozenset[str]
    receipt: str | None
    booked_at: datetime
    about: Subject | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """Money that the shop asked for, or gave back, whatever became of it.

    ``order`` and ``phone`` are of a prompt, which may have no other name.
    """

    about: Subject
    status: str
    names: frozenset[str]
    order: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """A task that a person has, or had, and what it is about."""

    kind: str
    about: Subject | None = None
    receipt: str | None = None
    is_open: bool = True


UNBOOKED = frozenset(
    {
        "unknown_payment",
        "unknown_refund",
        "wrong_amount",
        "receipt_conflict",
        "unmatched_money",
        "statement_difference",
    }
)
"""Tasks that say: money may have moved that is not in the books."""

UNBOOKED_RECEIPTS = UNBOOKED - {"unknown_payment", "unknown_refund"}
"""The same of a receipt itself; tasks about refunds name the receipt that is given back."""

UNMOVED = frozenset({"disputed_payment", "unknown_refund"})
"""Tasks that say: the books may show money that never moved."""

UNMATCHED = frozenset({"unmatched_money"})
"""The task that says: this money is in the books, and nobody knows whose it is."""

DIFFERENCE = frozenset({"statement_difference"})
"""The task that says: this receipt is booked with another amount than M-Pesa's own books have."""

CONFLICT = frozenset({"receipt_conflict"})
BOOKED_STATES = frozenset({"succeeded", "refunded"})
"""What the shop itself takes for paid has to be in its books, whatever was told before."""


class Fault(StrEnum):
    """What is wrong with a shilling that nobody can explain."""

    LOST = "lost"
    DOUBLED = "doubled"
    INVENTED = "invented"
    WRONG_AMOUNT = "wrong amount"
    WRONG_ORDER = "wrong order"
    WRONG_RECEIPT = "wrong receipt"
    UNTOLD = "nobody's, and no task"


@dataclass(frozen=True, slots=True)
class Unexplained:
    """``cents`` is by how much the books are wrong for it."""

    fault: Fault
    subject: str
    cents: int
    detail: str


Pairs = list[tuple[Movement, Booking]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``matched`` pairs each movement with its booking. The money ``held`` moved and is not booked,
    the ``disputed`` is booked and never moved, the ``misread`` is booked with another amount: of
    each a person was told.
    """

    matched: Sequence[tuple[Movement, Booking]]
    held: Sequence[Movement]
    disputed: Sequence[Booking]
    unexplained: Sequence[Unexplained]
    differences: Mapping[str, int]
    """By order, in cents, what the books have too much; what is explained has no row."""

    misread: Sequence[tuple[Movement, Booking]] = ()

    @property
    def placeless(self) -> list[Booking]:
        """Money in the books that came in and has no order."""
        return [one for _, one in self.matched if one.order is None and one.cents > 0]

    def count(self, fault: Fault) -> int:
        return sum(one.fault is fault for one in self.unexplained)
