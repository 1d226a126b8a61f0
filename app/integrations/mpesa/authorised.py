"""Requests that carry the access token, and what to do when the token is not accepted."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx2

from app.integrations.mpesa.access_tokens import AccessTokens, read_access_token
from app.integrations.mpesa.breaker import CircuitBreaker, Monotonic
from app.integrations.mpesa.errors import (
    MpesaError,
    MpesaTokenRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.integrations.mpesa.exchange import Answer, Exchange
from app.integrations.mpesa.refusals import (
    classify_refusal,
    classify_second_token_refusal,
    classify_token_refusal,
)
from app.integrations.mpesa.settings import MpesaSettings
from app.ports import AccessToken, Clock, TokenStore

TOKEN_PATH = "/oauth/v1/generate?grant_type=client_credentials"  # noqa: S105 - a path, no secret


class AuthorisedExchange:
    """Sends each request once. It may be shared by threads.

    The one exception is a request that was refused for its access token: that refusal is certain,
    so it is sent again, once, with another token.
    """

    def __init__(
        self,
        settings: MpesaSettings,
        tokens: TokenStore,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        *,
        monotonic: Monotonic = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        breaker = CircuitBreaker(
            failures=settings.breaker_failures,
            pause_seconds=settings.breaker_pause_seconds,
            monotonic=monotonic,
        )
        self._exchange = Exchange(settings, breaker, transport)
        self._tokens = AccessTokens(
            store=tokens,
            clock=clock,
            fetch=self._fetch_token,
            lease_seconds=settings.connect_timeout_seconds + settings.total_timeout_seconds,
            monotonic=monotonic,
            sleep=sleep,
        )

    def close(self) -> None:
        """Close what is open. Nothing can be sent after."""
        self._exchange.close()

    def post(self, path: str, build: Callable[[], dict[str, Any]]) -> Answer:
        """Send what ``build`` makes with a token; if the token itself is refused, once more with
        another. Raises MpesaError.
        """
        token = self._tokens.obtain()
        answer = self._exchange.post(path, build(), token.value)
        if not self._is_token_refused(answer):
            return answer
        token = self._tokens.replace(token)
        answer = self._exchange.post(path, build(), token.value)
        if self._is_token_refused(answer):
            self._tokens.store.drop(token.value)
            raise classify_second_token_refusal(self.classify(answer))
        return answer

    def classify(self, answer: Answer) -> MpesaError:
        """The error that an answer stands for which is no success."""
        return classify_refusal(answer, pause_seconds=self._settings.rate_pause_seconds)

    def _is_token_refused(self, answer: Answer) -> bool:
        is_error = answer.holds_error or not answer.is_success
        return is_error and isinstance(self.classify(answer), MpesaTokenRefused)

    def _fetch_token(self) -> AccessToken:
        return fetch_access_token(self._exchange, self._settings, self._clock)


def fetch_access_token(exchange: Exchange, settings: MpesaSettings, clock: Clock) -> AccessToken:
    """A new token for our key and secret. Raises MpesaError, always certain."""
    try:
        answer = exchange.get_with_keys(TOKEN_PATH)
    except MpesaUncertain as error:
        # Uncertain for what was to be sent; but a token was asked for, and there is none.
        raise MpesaUnavailable(f"No access token: {error.message}") from error
    if answer.status != HTTPStatus.OK or answer.holds_error or answer.document is None:
        raise classify_token_refusal(answer, pause_seconds=settings.rate_pause_seconds)
    return read_access_token(answer.document, clock)
