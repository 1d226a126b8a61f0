"""The one access token that all our processes share."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.integrations.mpesa.breaker import Monotonic
from app.integrations.mpesa.errors import MpesaError, MpesaUnavailable
from app.ports import AccessToken, Clock, TokenStore

_VALUE = re.compile(r"[\x21-\x7e]{1,4096}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_EARLY_SECONDS = 60
_SHORT_LIFE_SECONDS = 60
_LONGEST_LIFE_SECONDS = 3600
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Hands out a token that is fresh, and sees to it that one caller at a time fetches a new one.

    A new token is said to end the life of the one before, so two fetchers would fight. Whoever
    does not hold the claim waits for the winner's token, up to ``lease_seconds``, and then fetches
    all the same: the winner may have died.
    """

    store: TokenStore
    clock: Clock
    fetch: Callable[[], AccessToken]
    lease_seconds: float
    monotonic: Monotonic = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def obtain(self) -> AccessToken:
        """A token to use now. Raises MpesaError, always certain."""
        ends_at = self.monotonic() + self.lease_seconds
        while True:
            if (token := self._read_fresh()) is not None:
                return token
            if self.store.claim(self.lease_seconds):
                # The winner before us may have written between our look and our claim.
                return self._read_fresh_or_fetch()
            if self.monotonic() >= ends_at:
                return self._fetch_and_keep()
            self.sleep(_POLL_SECONDS)

    def replace(self, refused: AccessToken) -> AccessToken:
        """Another token than this one, which Safaricom did not accept."""
        self.store.drop(refused.value)
        return self.obtain()

    def _read_fresh(self) -> AccessToken | None:
        token = self.store.read()
        return token if token is not None and self.clock() < token.expires_at else None

    def _read_fresh_or_fetch(self) -> AccessToken:
        token = self._read_fresh()
        if token is None:
            return self._fetch_and_keep()
        self.store.write(token)  # ends the claim
        return token

    def _fetch_and_keep(self) -> AccessToken:
        ends_at = self.monotonic() + self.lease_seconds
        try:
            token = self.fetch()
        except MpesaError:
            if self.monotonic() < ends_at:
                # End the claim, so that the next caller need not wait for it to run out.
                self.store.write(AccessToken(value="none", expires_at=self.clock()))
            raise
        self.store.write(token)
        return token


def read_access_token(document: Any, clock: Clock) -> AccessToken:
    """The token in an answer, due for replacement a minute before it ends.

    Daraja, Authorization: ``expires_in`` is a text in the manual and a number in real answers; if
    it is neither, the token is used for a minute. Raises MpesaUnavailable if there is no token.
    """
    value = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise MpesaUnavailable("No access token: the answer holds none")
    usable = timedelta(seconds=_read_usable_seconds(document.get("expires_in")))
    return AccessToken(value=value, expires_at=clock() + usable)


def _read_usable_seconds(expires_in: Any) -> int:
    text = str(expires_in).strip() if isinstance(expires_in, str | int) else ""
    if isinstance(expires_in, bool) or not _SECONDS.fullmatch(text):
        return _SHORT_LIFE_SECONDS
    seconds = min(int(text), _LONGEST_LIFE_SECONDS)
    return seconds - _EARLY_SECONDS if seconds > 2 * _EARLY_SECONDS else seconds // 2
