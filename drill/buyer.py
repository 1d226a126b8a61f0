"""One customer: what one does, and what one was told, to be held against the books afterwards."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from drill.caller import Answer, Caller, NoAnswer
from drill.crowd import Crowd
from drill.market import Market, Person
from drill.options import Options
from drill.safaricom import Fates, Safaricom
from drill.values import Typed

T = TypeVar("T")
Steps = Generator[float, None, T]

_LEASE_PATIENCE_SECONDS = 90.0
"""An interrupted request is finished by its repetition only when a minute has passed."""

_HURRIED_PATIENCE_SECONDS = 10.0
_LOOKS = (0.4, 0.8, 1.5, 2.5, 4.0)
"""Pauses between two looks at a transaction; after the last the buyer looks no more."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 2.0
"""Between two tries where the shop names no pause itself."""

_MOST_TRIES = 8
_LONGEST_HANG_UP_SECONDS = 0.05
_FATED_PHONES = 10_000
_PHONES_OF_A_BUYER, _PHONES_OF_A_TWIN = 256, 8
_FIRST_GOOD_DIGITS, _GOOD_DIGITS = 3000, 4000
"""So many last digits, from the first on, have no row in the simulator's table: who has such a
phone pays. M-Pesa mostly shows the last three, so those of one order must differ.
"""

_SAY_IT_AGAIN = frozenset(
    {"unavailable", "database_unavailable", "idempotency_in_progress", "internal", "overloaded"}
)
_LIVE = frozenset({"created", "pending", "unknown"})


@dataclass
class Notes:
    """What the shop acknowledged, and how it refused."""

    orders: dict[int, str] = field(default_factory=dict)
    transactions: dict[int, int] = field(default_factory=dict)
    claims: dict[int, tuple[int, str]] = field(default_factory=dict)
    typed: dict[str, Typed] = field(default_factory=dict)
    prompts_asked: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refused(self, code: str) -> None:
        with self.lock:
            self.refusals[code] += 1


@dataclass
class World:
    """What all buyers share."""

    options: Options
    caller: Caller
    crowd: Crowd
    market: Market
    safaricom: Safaricom
    fates: Fates
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True, slots=True)
class Pushed:
    """``code`` says why no prompt was asked for, or is 202."""

    code: str
    transaction_id: int | None
    retry_after_seconds: float = 0.0


class Buyer:
    """Does what a client of the API does: repeats, under the same key, what was not answered."""

    def __init__(self, world: World, number: int, twin: int = 0) -> None:
        self.world = world
        self.number = number
        self.dice = Random(f"{world.options.seed}/{number}/{twin}")
        self.person: Person = self.dice.choice(world.market.customers)
        self._twin = twin
        self._keys = itertools.count(1)
        self._phones = itertools.count(number * _PHONES_OF_A_BUYER + twin * _PHONES_OF_A_TWIN)

    def make_twin(self, twin: int, person: Person | None = None) -> "Buyer":
        """Another who comes at the same time, with dice and phones of their own."""
        other = Buyer(self.world, self.number, twin)
        other.person = person or other.person
        return other

    # --- phones ---

    def good_phone(self) -> str:
        """One of nobody else's, whose owner pays."""
        number = next(self._phones)
        digits = _FIRST_GOOD_DIGITS + number % _GOOD_DIGITS
        return f"2547{number // _GOOD_DIGITS:04d}{digits}"

    def fated_phone(self, digits: str) -> str:
        """One whose last digits decide what happens to its prompts."""
        network = "17"[self.number // _FATED_PHONES % 2]
        return f"254{network}{self.number % _FATED_PHONES:04d}{digits}"

    @staticmethod
    def seconds_until(moment: str) -> float:
        """From now to a moment that the shop named."""
        return max(0.0, (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds())

    # --- asking the shop ---

    def ask(
        self, path: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> Steps[Answer | None]:
        """POST, again and again under one key while nobody answers or the shop says try again.

        None when patience is at its end.
        """
        world = self.world
        key = key or f"drill-{self.number}-{self._twin}-{next(self._keys)}"
        deadline = time.monotonic() + (
            _HURRIED_PATIENCE_SECONDS if world.options.hurry else _LEASE_PATIENCE_SECONDS
        )
        hang_up: float | None = None
        if self.dice.random() < world.options.faults.client_hangs_up:
            hang_up = self.dice.uniform(0, _LONGEST_HANG_UP_SECONDS)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer = self._try(path, body, key, hang_up)
            if answer is not None and answer.code not in _SAY_IT_AGAIN:
                return answer
            if time.monotonic() > deadline:
                return None
            hang_up = None
            yield (answer.retry_after_seconds if answer else None) or pause
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _try(
        self, path: str, body: Mapping[str, Any], key: str, hang_up: float | None
    ) -> Answer | None:
        world = self.world
        try:
            answer = world.caller.call(
                "POST", path, body, token=self.person.token, key=key, hang_up_after_seconds=hang_up
            )
        except NoAnswer:
            world.notes.refused("hung up" if hang_up is not None else "no answer")
            return None
        if answer.status >= 400:  # noqa: PLR2004 - every refusal
            world.notes.refused(answer.code)
        return answer

    def order(
        self, lines: Mapping[int, int], phone: str | None = None
    ) -> Steps[dict[str, Any] | None]:
        """Units by product, and the phone to be known by. The order, or None where none is to be
        had.
        """
        name = f"drill {self.number}.{self._twin}.{next(self._keys)}"
        products = [{"product_id": one, "quantity": units} for one, units in lines.items()]
        ask: dict[str, Any] = {"products": products, "note": name}
        if phone is not None:
            ask["phone_number"] = phone
        answer = yield from self.ask("/api/orders", ask)
        if answer is None or answer.status != 201:  # noqa: PLR2004 - Created
            return None
        with self.world.notes.lock:
            self.world.notes.orders[answer.document["id"]] = name
        return answer.document

    def push(self, order_id: int, phone: str, *, key: str | None = None) -> Steps[Pushed]:
        notes = self.world.notes
        with notes.lock:
            notes.prompts_asked[phone] += 1
        ask = {"order_id": order_id, "phone_number": phone}
        answer = yield from self.ask("/api/mpesa/stkpush", ask, key=key)
        if answer is None:
            return Pushed("no answer", None)
        document = answer.document
        transaction_id = document.get("transaction_id", document.get("id"))
        if transaction_id is not None:
            with notes.lock:
                notes.transactions[transaction_id] = order_id
        return Pushed(answer.code, transaction_id, answer.retry_after_seconds or 1.0)

    def watch(self, transaction_id: int) -> Steps[str]:
        """Its last status that the buyer sees."""
        status = "unknown"
        for pause in _LOOKS:
            yield pause
            seen = self.look(f"/api/transactions/{transaction_id}")
            status = seen["status"] if seen else status
            if status not in _LIVE:
                break
        return status

    def look(self, path: str) -> dict[str, Any] | None:
        try:
            answer = self.world.caller.call("GET", path, token=self.person.token)
        except NoAnswer:
            return None
        if answer.status >= 400:  # noqa: PLR2004 - every refusal
            self.world.notes.refused(answer.code)
        return answer.document if answer.status == 200 else None  # noqa: PLR2004 - OK

    def pay(self, order_id: int, *first: str) -> Steps[int | None]:
        """Ask these phones, then good ones, until one has paid or there is no use in asking.

        The transaction by which one paid, as far as the buyer saw it.
        """
        phones = self._phones_to_ask(first)
        phone = next(phones)
        for _ in range(_MOST_TRIES):
            pushed = yield from self.push(order_id, phone)
            if pushed.code in {"202", "payment_in_progress"} and pushed.transaction_id is not None:
                status = yield from self.watch(pushed.transaction_id)
                if status == "succeeded":
                    return pushed.transaction_id
                if status in _LIVE:
                    return None  # the buyer has waited long enough, and believes what comes
                phone = next(phones)
            elif pushed.code in {
                "payment_network_unavailable",
                "phone_busy",
                "payment_in_progress",
            }:
                yield pushed.retry_after_seconds / self.world.options.clock_factor
            elif pushed.code == "payment_network_refused":
                phone = next(phones)
            else:
                return None
        return None

    def _phones_to_ask(self, first: tuple[str, ...]) -> Iterator[str]:
        yield from first
        while True:
            yield self.good_phone()
