"""One look for many who ask."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Seen = TypeVar("Seen")


class Lookout(Generic[Seen]):
    """What ``look`` sees, looked for by one at a time and once in so many seconds at the most.

    Who asks while another looks is told what was seen last; only the first time all wait. What
    ``look`` raises is raised to whoever made it look, and nothing is seen.
    """

    def __init__(
        self,
        look: Callable[[], Seen],
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._monotonic = monotonic
        self._looking = threading.Lock()
        self._last: tuple[float, Seen] | None = None

    def see(self) -> Seen:
        last = self._last
        if last is not None and self._is_fresh(last):
            return last[1]
        has_turn = self._looking.acquire(blocking=last is None)
        if last is not None and not has_turn:
            return last[1]
        try:
            last = self._last
            if last is None or not self._is_fresh(last):
                self._last = last = (self._monotonic(), self._look())
            return last[1]
        finally:
            self._looking.release()

    def _is_fresh(self, seen: tuple[float, Seen]) -> bool:
        return self._monotonic() - seen[0] < self._seconds
