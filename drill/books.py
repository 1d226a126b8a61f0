"""Holding two books against each other: what money really moved, and what the shop has booked.

Pure: it knows neither the simulator nor the database, only what both wrote down. Money may come in
by a prompt or by itself to the paybill, with a right account or a wrong one, and go out again;
amounts are cents, above zero in and below zero out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from drill.values import (
    BOOKED_STATES,
    CONFLICT,
    DIFFERENCE,
    UNBOOKED,
    UNBOOKED_RECEIPTS,
    UNMATCHED,
    UNMOVED,
    Attempt,
    Booking,
    Comparison,
    Fault,
    Matter,
    Movement,
    Pairs,
    Subject,
    Unexplained,
)


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
    misread = [pair for pair in pairs if _is_misread(*pair, known)]
    unexplained = [
        *(_lost(one) for one in unbooked if one not in held),
        *(_doubled(*pair) for pair in doubled),
        *(_invented(one) for one in unmoved if one not in disputed),
        *(fault for pair in pairs for fault in _compare_pair(*pair, known)),
    ]
    differences = _differences(movements, bookings, pairs, held, disputed)
    _forgive(differences, misread)
    return Comparison(pairs, held, disputed, unexplained, differences, misread)


def _pair(
    movements: Sequence[Movement], bookings: Sequence[Booking]
) -> tuple[Pairs, list[Movement], list[Booking], Pairs]:
    """Pairs; movements without a booking; bookings without a movement; bookings too many.

    Its receipt is what money is called; by its other names it is looked for only where no booking
    has that. Which of two payments of one order a prompt brought may be told by nobody.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    for booking in bookings:
        for name in booking.names:
            by_name[name].append(booking.event_id)
    free = {one.event_id: one for one in bookings}
    found: dict[str, list[Booking]] = {one.receipt: [] for one in movements}
    for names_of in (_receipt_of, _names_of):
        for movement in movements:
            numbers = sorted({number for name in names_of(movement) for number in by_name[name]})
            found[movement.receipt] += [free.pop(one) for one in numbers if one in free]
    pairs: Pairs = []
    unbooked: list[Movement] = []
    doubled: Pairs = []
    for movement in movements:
        own = found[movement.receipt]
        if not own:
            unbooked.append(movement)
        pairs += [(movement, one) for one in own[:1]]
        doubled += [(movement, one) for one in own[1:]]
    return pairs, unbooked, list(free.values()), doubled


def _receipt_of(movement: Movement) -> frozenset[str]:
    return frozenset({movement.receipt})


def _names_of(movement: Movement) -> frozenset[str]:
    return movement.names


class _Known:
    """What people were told, by what it is about."""

    def __init__(self, attempts: Iterable[Attempt], matters: Iterable[Matter]) -> None:
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            for name in (*attempt.names, _place(attempt.order, attempt.phone)):
                self._attempts[name].append(attempt)
        self._kinds: dict[Subject | str, set[str]] = defaultdict(set)
        self._open: dict[Subject | str, set[str]] = defaultdict(set)
        for matter in matters:
            for about in (matter.about, matter.receipt):
                if about is not None:
                    self._kinds[about].add(matter.kind)
                    if matter.is_open:
                        self._open[about].add(matter.kind)

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

    def tells_of_no_order(self, movement: Movement) -> bool:
        """Whether a person still has to find out whose it is."""
        return bool(self._open.get(movement.receipt, set()) & UNMATCHED)

    def tells_of_difference(self, movement: Movement) -> bool:
        return self._told(DIFFERENCE, movement.receipt)

    def _told(self, kinds: frozenset[str], about: Subject | str | None) -> bool:
        return about is not None and bool(self._kinds.get(about, set()) & kinds)


def _place(order: str | None, phone: str | None) -> str:
    return f"{order}/{phone}"


def _compare_pair(movement: Movement, booking: Booking, known: _Known) -> list[Unexplained]:
    faults = []
    size = abs(movement.cents)
    if booking.cents != movement.cents and not _is_misread(movement, booking, known):
        detail = f"{_kes(movement.cents)} moved and {_kes(booking.cents)} are booked"
        wrong_by = abs(booking.cents - movement.cents)
        faults.append(Unexplained(Fault.WRONG_AMOUNT, movement.receipt, wrong_by, detail))
    if _is_elsewhere(movement, booking, known):
        meant = movement.order or movement.meant
        detail = f"meant for order {meant}, booked for {booking.order}"
        faults.append(Unexplained(Fault.WRONG_ORDER, movement.receipt, size, detail))
    elif movement.cents > 0 and booking.order is None and not known.tells_of_no_order(movement):
        detail = f"{_kes(movement.cents)} are booked for no order, and no open task says so"
        faults.append(Unexplained(Fault.UNTOLD, movement.receipt, size, detail))
    is_other = booking.receipt is not None and booking.receipt not in movement.names
    if is_other and not known.tells_of_conflict(booking):
        detail = f"is booked under the receipt {booking.receipt}"
        faults.append(Unexplained(Fault.WRONG_RECEIPT, movement.receipt, size, detail))
    return faults


def _is_elsewhere(movement: Movement, booking: Booking, known: _Known) -> bool:
    """What the answer to a prompt is may be left to a person, and be booked for no order meanwhile.
    Who typed the right number has told whose the money is.
    """
    if movement.order is None:
        return movement.meant is not None and booking.order not in {None, movement.meant}
    if booking.order == movement.order:
        return False
    if booking.order is not None or movement.is_from_menu:
        return True
    return not known.tells_of_unbooked(movement)


def _is_misread(movement: Movement, booking: Booking, known: _Known) -> bool:
    """Booked as a message told it, of which M-Pesa's own books said otherwise."""
    return booking.cents != movement.cents and known.tells_of_difference(movement)


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


def _forgive(differences: dict[str, int], misread: Pairs) -> None:
    """Take away what people were told: that amounts differ."""
    for movement, booking in misread:
        order = booking.order or ""
        left = differences.get(order, 0) - (booking.cents - movement.cents)
        differences[order] = left
        if not left:
            del differences[order]


def _kes(cents: int) -> str:
    return f"KES {cents / 100:.2f}"
