"""Posting to the shop: once, ten seconds, no retry, no redirect, and a log of what came of it."""

import http.client
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from itertools import islice
from urllib.parse import urlsplit

from daraja_simulator.clock import SimulatedClock
from daraja_simulator.crew import Crew
from daraja_simulator.delivery import Delivery, DeliveryState, Letter

log = logging.getLogger("daraja_simulator")

# The shop under test does not run faster with the clock, so it never gets less than this.
_SHORTEST_TIMEOUT_SECONDS = 2.0
_LONGEST_ANSWER_BYTES = 65_536
_MOST_THREADS = 256

Then = Callable[[Delivery], None]


class Mode(StrEnum):
    """What becomes of everything that is posted."""

    DELIVER = "deliver"
    HOLD = "hold"
    DROP = "drop"


class Courier:
    """Sends each letter from a thread of its own, so that a slow shop holds up nobody else."""

    def __init__(self, clock: SimulatedClock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._crew = Crew(_MOST_THREADS)
        self._changed = threading.Condition()
        self._mode = Mode.DELIVER
        self._busy = 0
        self._deliveries: list[Delivery] = []
        self._counts: Counter[DeliveryState] = Counter()

    @property
    def mode(self) -> Mode:
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Choose what becomes of letters from now on; to deliver again releases the held."""
        with self._changed:
            self._mode = mode
        if mode is Mode.DELIVER:
            self.release()

    def deliveries(self) -> list[Delivery]:
        with self._changed:
            return list(self._deliveries)

    def newest(self, count: int) -> list[Delivery]:
        with self._changed:
            return list(islice(reversed(self._deliveries), count))

    def counts(self) -> dict[str, int]:
        """How many there are in each state."""
        with self._changed:
            return {state.value: self._counts[state] for state in DeliveryState}

    def lose(self, letter: Letter) -> None:
        """Keep on record a letter that is never sent."""
        self._enter(letter, DeliveryState.LOST)

    def post(self, letter: Letter, copies: int = 1, *, at_once: bool = False) -> list[Delivery]:
        """Send copies, one after the other or all at the same moment, and do not wait."""
        deliveries = [self._enter(letter, self._state_of_mode()) for _ in range(copies)]
        sending = [one for one in deliveries if one.state is DeliveryState.SENDING]
        self._start([[one] for one in sending] if at_once else [sending])
        return deliveries

    def post_and_wait(
        self, letter: Letter, copies: int = 1, *, at_once: bool = False
    ) -> list[Delivery]:
        """Send copies; return when each has been answered or given up, or is held or dropped."""
        deliveries = self.post(letter, copies, at_once=at_once)
        with self._changed:
            self._changed.wait_for(
                lambda: all(one.state is not DeliveryState.SENDING for one in deliveries)
            )
        return deliveries

    def ask(self, letter: Letter, timeout_seconds: float, then: Then, *, lost: bool) -> None:
        """Send a question; `then` is called with what came of it, and counts as on its way.

        One that is lost, held back or dropped gets no answer.
        """
        is_sent = not lost and self._state_of_mode() is DeliveryState.SENDING
        delivery = self._enter(letter, DeliveryState.SENDING if is_sent else DeliveryState.LOST)

        def run() -> None:
            if is_sent:
                self._attempt(delivery, timeout_seconds)
            then(delivery)

        self._hand_out(run)

    def release(self) -> int:
        """Send everything that is held, each letter on its own; how many there were."""
        with self._changed:
            held = [one for one in self._deliveries if one.state is DeliveryState.HELD]
            for delivery in held:
                self._move(delivery, DeliveryState.SENDING)
        for delivery in held:
            self._start([[delivery]])
        return len(held)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait, in real seconds, until nothing is on its way; false if something still is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, max(timeout_seconds, 0))

    def clear(self) -> None:
        with self._changed:
            self._mode = Mode.DELIVER
            self._deliveries.clear()
            self._counts.clear()

    def _state_of_mode(self) -> DeliveryState:
        states = {Mode.HOLD: DeliveryState.HELD, Mode.DROP: DeliveryState.LOST}
        return states.get(self._mode, DeliveryState.SENDING)

    def _enter(self, letter: Letter, state: DeliveryState) -> Delivery:
        with self._changed:
            delivery = Delivery(len(self._deliveries) + 1, letter, self._clock.now(), state)
            self._deliveries.append(delivery)
            self._counts[state] += 1
        return delivery

    def _move(self, delivery: Delivery, state: DeliveryState) -> None:
        """Call with `_changed` held. One that a reset has forgotten is counted no more."""
        if delivery.number <= len(self._deliveries) and (
            self._deliveries[delivery.number - 1] is delivery
        ):
            self._counts[delivery.state] -= 1
            self._counts[state] += 1
        delivery.state = state

    def _start(self, groups: Iterable[list[Delivery]]) -> None:
        """A thread a group; the threads of several groups leave together."""
        groups = [group for group in groups if group]
        if len(groups) == 1:
            self._hand_out(partial(self._run, groups[0]))
            return
        barrier = threading.Barrier(len(groups)) if groups else None
        for group in groups:
            # Not by the crew: a barrier needs all of them, however many there are.
            job = self._count_in(partial(self._run, group, barrier))
            threading.Thread(target=job, daemon=True).start()

    def _hand_out(self, job: Callable[[], None]) -> None:
        self._crew.submit(self._count_in(job))

    def _count_in(self, job: Callable[[], None]) -> Callable[[], None]:
        """The job, counted as on its way from now until it has run."""
        with self._changed:
            self._busy += 1

        def run() -> None:
            try:
                job()
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

        return run

    def _run(self, group: list[Delivery], barrier: threading.Barrier | None = None) -> None:
        if barrier is not None:
            barrier.wait()
        for delivery in group:
            self._attempt(delivery, self._timeout_seconds)

    def _attempt(self, delivery: Delivery, timeout_seconds: float) -> None:
        started = time.monotonic()
        status, answer, error = None, b"", None
        attempted_at = self._clock.now()
        try:
            status, answer = self._send(delivery.letter, timeout_seconds)
        except (OSError, http.client.HTTPException, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        with self._changed:
            delivery.attempted_at = attempted_at
            delivery.status = status
            delivery.answer = answer
            delivery.error = error
            delivery.real_milliseconds = round((time.monotonic() - started) * 1000)
            self._move(delivery, DeliveryState.DONE)
            self._changed.notify_all()
        _log_delivery(delivery)

    def _send(self, letter: Letter, timeout_seconds: float) -> tuple[int, bytes]:
        parts = urlsplit(letter.url)
        seconds = max(self._clock.real_seconds(timeout_seconds), _SHORTEST_TIMEOUT_SECONDS)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, letter.body, letter.headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER_BYTES)
        finally:
            connection.close()


def _log_delivery(delivery: Delivery) -> None:
    """The path stays out of the log: shops keep a secret there."""
    parts = urlsplit(delivery.letter.url)
    log.info(
        "%s %s to %s://%s: %s in %s ms",
        delivery.letter.kind.value,
        delivery.letter.reference,
        parts.scheme,
        parts.netloc.rpartition("@")[2],
        delivery.status or delivery.error,
        delivery.real_milliseconds,
    )
