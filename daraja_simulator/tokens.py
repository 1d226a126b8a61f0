"""Access tokens: opaque, never seeded, so that a token from before a restart is dead."""

import secrets
import string
import threading

from daraja_simulator.clock import SimulatedClock

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 28


class TokenStore:
    def __init__(self, clock: SimulatedClock, life_seconds: int, *, new_kills_old: bool) -> None:
        self._clock = clock
        self._life_seconds = life_seconds
        self._new_kills_old = new_kills_old
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, float]] = {}

    def issue(self, consumer_key: str) -> str:
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        now = self._clock.seconds()
        with self._lock:
            self._tokens = {
                old: (owner, expiry)
                for old, (owner, expiry) in self._tokens.items()
                if expiry > now and not (self._new_kills_old and owner == consumer_key)
            }
            self._tokens[token] = (consumer_key, now + self._life_seconds)
        return token

    def is_valid(self, token: str) -> bool:
        with self._lock:
            known = self._tokens.get(token)
        return known is not None and self._clock.seconds() < known[1]

    def expire_all(self) -> int:
        """Kill every token; the number of those that still lived."""
        now = self._clock.seconds()
        with self._lock:
            living = sum(expiry > now for _, expiry in self._tokens.values())
            self._tokens.clear()
        return living
