"""A circuit breaker: when Safaricom is down, say so at once and hold no thread."""

import threading
import time
from collections.abc import Callable

Monotonic = Callable[[], float]


class CircuitBreaker:
    """Opens after some consecutive failures, refuses for a while, then lets one try through.

    If that try works it closes; if not, it refuses for as long again. It may be shared by threads
    and knows nothing of other processes.
    """

    def __init__(
        self, *, failures: int = 5, pause_seconds: float = 30, monotonic: Monotonic = time.monotonic
    ) -> None:
        self._failures_to_open = failures
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._refuses_until = 0.0

    def enter(self) -> float:
        """0.0 if a try may go ahead, else the seconds to wait. Whoever goes ahead must report."""
        with self._lock:
            if self._failures < self._failures_to_open:
                return 0.0
            wait_seconds = self._refuses_until - self._monotonic()
            if wait_seconds > 0:
                return wait_seconds
            # This is the one try. Should it never report, another may go after the next pause.
            self._refuses_until = self._monotonic() + self._pause_seconds
            return 0.0

    def report_success(self) -> None:
        """The other side answers."""
        with self._lock:
            self._failures = 0

    def report_failure(self) -> None:
        """No connection, no answer, or nothing that can be read."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._failures_to_open:
                self._refuses_until = self._monotonic() + self._pause_seconds
