"""Posting callbacks: once, ten seconds, no retry, no redirect, and a log of what came of it."""

import http.client
import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from daraja_simulator.clock import SimulatedClock

log = logging.getLogger("daraja_simulator")

CALLBACK_CONTENT_TYPE = "application/json;charset=UTF-8"

# The shop under test does not run faster with the clock, so it never gets less than this.
_SHORTEST_TIMEOUT_SECONDS = 2.0
_LONGEST_ANSWER_BYTES = 65_536


class Mode(StrEnum):
    """What becomes of every callback."""

    DELIVER = "deliver"
    HOLD = "hold"
    DROP = "drop"


class DeliveryState(StrEnum):
    SENDING = "sending"
    HELD = "held"
    LOST = "lost"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Letter:
    """One callback, ready to be posted."""

    checkout_request_id: str
    shortcode: str
    url: str
    body: bytes


@dataclass(slots=True, eq=False)
class Delivery:
    """One attempt at posting a letter; `status` is the shop's HTTP status, if it answered."""

    number: int
    letter: Letter
    created_at: datetime
    state: DeliveryState = DeliveryState.SENDING
    attempted_at: datetime | None = None
    status: int | None = None
    error: str | None = None
    real_milliseconds: int | None = None

    @property
    def was_received(self) -> bool:
        return self.status is not None and self.status in range(200, 300)

    def to_json(self) -> dict[str, str | int | bool | None]:
        return {
            "number": self.number,
            "checkout_request_id": self.letter.checkout_request_id,
            "url": self.letter.url,
            "body": self.letter.body.decode(),
            "state": self.state.value,
            "created_at": self.created_at.isoformat(),
            "attempted_at": self.attempted_at.isoformat() if self.attempted_at else None,
            "status": self.status,
            "error": self.error,
            "real_milliseconds": self.real_milliseconds,
            "was_received": self.was_received,
        }


class Courier:
    """Sends each letter from a thread of its own, so that a slow shop holds up nobody else."""

    def __init__(self, clock: SimulatedClock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._changed = threading.Condition()
        self._mode = Mode.DELIVER
        self._busy = 0
        self._deliveries: list[Delivery] = []

    @property
    def mode(self) -> Mode:
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Choose what becomes of callbacks from now on; to deliver again releases the held."""
        with self._changed:
            self._mode = mode
        if mode is Mode.DELIVER:
            self.release()

    def deliveries(self) -> list[Delivery]:
        with self._changed:
            return list(self._deliveries)

    def lose(self, letter: Letter) -> None:
        """Keep on record a callback that is never sent."""
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

    def release(self) -> int:
        """Send everything that is held, each letter on its own; how many there were."""
        with self._changed:
            held = [one for one in self._deliveries if one.state is DeliveryState.HELD]
            for delivery in held:
                delivery.state = DeliveryState.SENDING
        self._start([[one] for one in held])
        return len(held)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait, in real seconds, until nothing is on its way; false if something still is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, max(timeout_seconds, 0))

    def clear(self) -> None:
        with self._changed:
            self._mode = Mode.DELIVER
            self._deliveries.clear()

    def _state_of_mode(self) -> DeliveryState:
        states = {Mode.HOLD: DeliveryState.HELD, Mode.DROP: DeliveryState.LOST}
        return states.get(self._mode, DeliveryState.SENDING)

    def _enter(self, letter: Letter, state: DeliveryState) -> Delivery:
        with self._changed:
            delivery = Delivery(len(self._deliveries) + 1, letter, self._clock.now(), state)
            self._deliveries.append(delivery)
        return delivery

    def _start(self, groups: Iterable[list[Delivery]]) -> None:
        """One thread a group; the threads of several groups leave together."""
        groups = [group for group in groups if group]
        barrier = threading.Barrier(len(groups)) if len(groups) > 1 else None
        for group in groups:
            with self._changed:
                self._busy += 1
            threading.Thread(target=self._run, args=(group, barrier), daemon=True).start()

    def _run(self, group: list[Delivery], barrier: threading.Barrier | None) -> None:
        try:
            if barrier is not None:
                barrier.wait()
            for delivery in group:
                self._attempt(delivery)
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _attempt(self, delivery: Delivery) -> None:
        started = time.monotonic()
        status, error = None, None
        attempted_at = self._clock.now()
        try:
            status = self._send(delivery.letter)
        except (OSError, http.client.HTTPException, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        with self._changed:
            delivery.attempted_at = attempted_at
            delivery.status = status
            delivery.error = error
            delivery.real_milliseconds = round((time.monotonic() - started) * 1000)
            delivery.state = DeliveryState.DONE
            self._changed.notify_all()
        _log_delivery(delivery)

    def _send(self, letter: Letter) -> int:
        parts = urlsplit(letter.url)
        seconds = max(self._clock.real_seconds(self._timeout_seconds), _SHORTEST_TIMEOUT_SECONDS)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Content-Type": CALLBACK_CONTENT_TYPE,
            "Businessshortcode": letter.shortcode,
        }
        try:
            connection.request("POST", target, letter.body, headers)
            answer = connection.getresponse()
            answer.read(_LONGEST_ANSWER_BYTES)
            return answer.status
        finally:
            connection.close()


def _log_delivery(delivery: Delivery) -> None:
    """The path stays out of the log: shops keep a secret there."""
    parts = urlsplit(delivery.letter.url)
    log.info(
        "callback %s to %s://%s: %s in %s ms",
        delivery.letter.checkout_request_id,
        parts.scheme,
        parts.netloc.rpartition("@")[2],
        delivery.status or delivery.error,
        delivery.real_milliseconds,
    )
