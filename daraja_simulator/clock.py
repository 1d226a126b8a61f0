"""The one place time is read from; it can run faster than the wall's, or jump."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

EAT = timezone(timedelta(hours=3), "EAT")  # Kenya has no summer time

_LONGEST_WAIT_SECONDS = 3600.0


class SimulatedClock:
    """Simulated seconds since the epoch: `factor` of them pass in each real second.

    A factor of zero stops the clock: it then moves only by `advance` or `move_to`, and never
    backwards. `changed` is notified whenever the pace or the time changes, so whoever sleeps on
    it can reckon anew. With `real_dates` only durations are simulated: `now` is the wall's time.
    """

    def __init__(
        self, factor: float = 1.0, start_at: datetime | None = None, *, real_dates: bool = False
    ) -> None:
        self.changed = threading.Condition()
        self._factor = _checked(factor)
        self._has_real_dates = real_dates
        self._real_base = time.monotonic()
        self._simulated_base = start_at.timestamp() if start_at else time.time()

    @property
    def factor(self) -> float:
        return self._factor

    def seconds(self) -> float:
        with self.changed:
            return self._simulated_base + (time.monotonic() - self._real_base) * self._factor

    def now(self) -> datetime:
        return datetime.now(EAT) if self._has_real_dates else self.at(self.seconds())

    def at(self, seconds: float) -> datetime:
        """The moment at which so many simulated seconds have passed, in Nairobi."""
        if self._has_real_dates:
            left = self.real_seconds(seconds - self.seconds())
            return self.now() + timedelta(seconds=left)
        return datetime.fromtimestamp(seconds, EAT)

    def seconds_since(self, moment: datetime) -> float:
        """Simulated seconds since a moment that `now` has told."""
        passed = (self.now() - moment).total_seconds()
        return passed * self._factor if self._has_real_dates else passed

    def set_factor(self, factor: float) -> None:
        with self.changed:
            self._restart_at(self.seconds())
            self._factor = _checked(factor)
            self.changed.notify_all()

    def advance(self, seconds: float) -> None:
        """Jump forward; what falls due on the way is run by whoever waits for it."""
        if seconds < 0:
            raise ValueError("Time goes forward only.")
        with self.changed:
            self._restart_at(self.seconds() + seconds)
            self.changed.notify_all()

    def move_to(self, moment: float) -> None:
        """Jump to a moment, unless it has passed already."""
        with self.changed:
            self._restart_at(max(moment, self.seconds()))
            self.changed.notify_all()

    def nudge(self) -> None:
        """Wake everybody who waits, to look at the world again."""
        with self.changed:
            self.changed.notify_all()

    def real_seconds(self, simulated_seconds: float) -> float:
        """How long that lasts on the wall; a stopped clock keeps the length as it is."""
        return simulated_seconds / self._factor if self._factor else simulated_seconds

    def wait_for_change(self, moment: float | None) -> None:
        """Sleep until the moment comes, or something changes. Call with `changed` held."""
        if moment is None or not self._factor:
            self.changed.wait(_LONGEST_WAIT_SECONDS)
            return
        left = (moment - self.seconds()) / self._factor
        if left > 0:
            self.changed.wait(min(left, _LONGEST_WAIT_SECONDS))

    def sleep(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Let simulated seconds pass, or return at once when `stopped` turns true."""
        with self.changed:
            moment = self.seconds() + seconds
            while self.seconds() < moment and not stopped():
                self.wait_for_change(moment)

    def _restart_at(self, simulated: float) -> None:
        self._simulated_base = simulated
        self._real_base = time.monotonic()


def _checked(factor: float) -> float:
    if not 0 <= factor <= 1_000_000:  # noqa: PLR2004 - a bound nobody meets by accident
        raise ValueError("The clock factor lies between 0 and 1000000.")
    return factor
