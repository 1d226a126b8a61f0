"""A TokenStore for one process: tests, command lines, a shop with a single worker."""

import threading
import time
from collections.abc import Callable

from app.ports import AccessToken


class MemoryTokenStore:
    """Keeps the token in memory. It may be shared by threads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._claimed_until = float("-inf")

    def read(self) -> AccessToken | None:
        with self._lock:
            return self._token

    def claim(self, lease_seconds: float) -> bool:
        with self._lock:
            if self._monotonic() < self._claimed_until:
                return False
            self._claimed_until = self._monotonic() + lease_seconds
            return True

    def write(self, token: AccessToken) -> None:
        with self._lock:
            self._token = token
            self._claimed_until = float("-inf")

    def drop(self, value: str) -> None:
        with self._lock:
            if self._token is not None and self._token.value == value:
                self._token = None
