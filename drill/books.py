"""Holding two books against each other: what money really moved, and what the shop has booked.

Pure: it knows neither the simulator nor the database, only what both wrote down. Money may come in
by a prompt or by itself to the paybill, with a right account or a wrong one, and go out again;
amounts are cents, above zero in and below zero out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
class Movement:
    """Money that left one hand and reached another, whatever anybody was told.

    ``names`` are the ids under which others may know it, its receipt among them. ``order`` is the
    number of the order that it has to be booked for, or None where it names none of the shop's.
    """

    receipt: str
    cents: int
    order: str | None
    phone: str
    names: frozenset[str]
    moved_at: datetime


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
    """A task that a person has, and what it is about."""

    kind: str
    about: Subject | None = None
    receipt: str | None = None


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


@dataclass(frozen=True, slots=True)
class Unexplained:
    """``cents`` is by how much the books are wrong for it."""

    fault: Fault
    subject: str
    cents: int
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``matched`` pairs each movement with its booking. The money ``held`` moved and is not booked,
    the ``disputed`` is booked and never moved: of each a person was told.
    """

    matched: Sequence[tuple[Movement, Booking]]
    held: Sequence[Movement]
    disputed: Sequence[Booking]
    unexplained: Sequence[Unexplained]
    differences: Mapping[str, int]
    """By order, in cents, what the books have too much; what is explained has no row."""

    def count(self, fault: Fault) -> int:
        return sum(one.fault is fault for one in self.unexplained)


def compare(
    movements: Sequence[Movement],
    bookings: Sequence[Booking],
    attempts: Sequence[Attempt],
    matters: Sequence[Matter],
) -> Comparison:
    """Explain every shilling of both books, movement by movement and order by order."""
    known = _Known(attempts, matters)
    pairs, unbooked, unmoved, doubled = _pair(movements, bookings)
    held = [one for one in unbooked if known.tells_of_unbooked(one)]
    disputed = [one for one in unmoved if known.tells_of_unmoved(one)]
    unexplained = [
        *(_lost(one) for one in unbooked if one not in held),
        *(_doubled(*pair) for pair in doubled),
        *(_invented(one) for one in unmoved if one not in disputed),
        *(fault for pair in pairs for fault in _compare_pair(*pair, known)),
    ]
    differences = _differences(movements, bookings, pairs, held, disputed)
    return Comparison(pairs, held, disputed, unexplained, differences)


Pairs = list[tuple[Movement, Booking]]


def _pair(
    movements: Sequence[Movement], bookings: Sequence[Booking]
) -> tuple[Pairs, list[Movement], list[Booking], Pairs]:
    """Pairs; movements without a booking; bookings without a movement; bookings too many."""
    by_name: dict[str, dict[int, Booking]] = defaultdict(dict)
    for booking in bookings:
        for name in booking.names:
            by_name[name][booking.event_id] = booking
    pairs, unbooked, doubled = [], [], []
    free = {one.event_id: one for one in bookings}
    for movement in movements:
        found: dict[int, Booking] = {}
        for name in movement.names:
            found |= by_name.get(name, {})
        fresh = [free.pop(number) for number in sorted(found) if number in free]
        if fresh:
            pairs.append((movement, fresh[0]))
            doubled += [(movement, one) for one in fresh[1:]]
        else:
            unbooked.append(movement)
    return pairs, unbooked, list(free.values()), doubled


class _Known:
    """What people were told, by what it is about."""

    def __init__(self, attempts: Iterable[Attempt], matters: Iterable[Matter]) -> None:
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            for name in (*attempt.names, _place(attempt.order, attempt.phone)):
                self._attempts[name].append(attempt)
        self._kinds: dict[Subject | str, set[str]] = defaultdict(set)
        for matter in matters:
            for about in (matter.about, matter.receipt):
                if about is not None:
                    self._kinds[about].add(matter.kind)

    def tells_of_unbooked(self, movement: Movement) -> bool:
        if self._told(UNBOOKED_RECEIPTS, movement.receipt):
            return True
        attempts = [one for name in movement.names for one in self._attempts.get(name, ())]
        if not attempts and movement.order is not None:
            # No id ever reached the shop: the prompt is known by its order and its phone.
            place = _place(movement.order, movement.phone)
            attempts = [one for one in self._attempts.get(place, ()) if not one.names]
        return any(
            self._told(UNBOOKED, one.about) for one in attempts if one.status not in BOOKED_STATES
        )

    def tells_of_unmoved(self, booking: Booking) -> bool:
        return self._told(UNMOVED, booking.about)

    def tells_of_conflict(self, booking: Booking) -> bool:
        return self._told(CONFLICT, booking.about)

    def _told(self, kinds: frozenset[str], about: Subject | str | None) -> bool:
        return about is not None and bool(self._kinds.get(about, set()) & kinds)


def _place(order: str | None, phone: str | None) -> str:
    return f"{order}/{phone}"


def _compare_pair(movement: Movement, booking: Booking, known: _Known) -> list[Unexplained]:
    faults = []
    size = abs(movement.cents)
    if booking.cents != movement.cents:
        detail = f"{_kes(movement.cents)} moved and {_kes(booking.cents)} are booked"
        wrong_by = abs(booking.cents - movement.cents)
        faults.append(Unexplained(Fault.WRONG_AMOUNT, movement.receipt, wrong_by, detail))
    if _is_elsewhere(movement, booking, known):
        detail = f"meant for order {movement.order}, booked for {booking.order}"
        faults.append(Unexplained(Fault.WRONG_ORDER, movement.receipt, size, detail))
    is_other = booking.receipt is not None and booking.receipt not in movement.names
    if is_other and not known.tells_of_conflict(booking):
        detail = f"is booked under the receipt {booking.receipt}"
        faults.append(Unexplained(Fault.WRONG_RECEIPT, movement.receipt, size, detail))
    return faults


def _is_elsewhere(movement: Movement, booking: Booking, known: _Known) -> bool:
    """Money that a person was given to place may be booked for no order at all."""
    if movement.order is None or booking.order == movement.order:
        return False
    return booking.order is not None or not known.tells_of_unbooked(movement)


def _lost(movement: Movement) -> Unexplained:
    detail = f"{_kes(movement.cents)} for order {movement.order} is in no book and in no task"
    return Unexplained(Fault.LOST, movement.receipt, abs(movement.cents), detail)


def _doubled(movement: Movement, booking: Booking) -> Unexplained:
    detail = f"booked again as event {booking.event_id}, {_kes(booking.cents)}"
    return Unexplained(Fault.DOUBLED, movement.receipt, abs(booking.cents), detail)


def _invented(booking: Booking) -> Unexplained:
    detail = f"{_kes(booking.cents)} for order {booking.order} are booked and never moved"
    return Unexplained(Fault.INVENTED, f"event {booking.event_id}", abs(booking.cents), detail)


def _differences(
    movements: Sequence[Movement],
    bookings: Sequence[Booking],
    pairs: Pairs,
    held: Sequence[Movement],
    disputed: Sequence[Booking],
) -> dict[str, int]:
    """Booked less moved, order by order. What names no order counts where it was booked."""
    placed = {
        movement.receipt: booking.order
        for movement, booking in pairs
        if movement.order is None or booking.order is None
    }

    def order_of(movement: Movement) -> str:
        return placed.get(movement.receipt, movement.order) or ""

    sums: Counter[str] = Counter()
    for booking in bookings:
        sums[booking.order or ""] += booking.cents
    for movement in movements:
        sums[order_of(movement)] -= movement.cents
    for movement in held:
        sums[order_of(movement)] += movement.cents
    for booking in disputed:
        sums[booking.order or ""] -= booking.cents
    return {order: cents for order, cents in sums.items() if cents}


def _kes(cents: int) -> str:
    return f"KES {cents / 100:.2f}"
