"""One request, one answer: limits, redirects, encodings, the breaker, and what is certain after."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from app.integrations.deadline_transport import DeadlineTransport
from app.integrations.mpesa.breaker import CircuitBreaker
from app.integrations.mpesa.errors import (
    MpesaError,
    MpesaUnavailable,
    MpesaUncertain,
    scrub_text,
)
from app.integrations.mpesa.settings import MpesaSettings
from app.integrations.mpesa.strict_json import UnreadableJson, load_strict_json

_SHORTEST_SECRET = 8
_ENCODINGS_READ = frozenset({"", "identity", "gzip", "deflate"})
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the JSON object or why there is none, a few facts beside it."""

    status: int
    document: dict[str, Any] | None
    trouble: str | None = None
    empty: bool = False
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the HTTP status is one of the 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_refusal(self) -> bool:
        """Whether the HTTP status is a 4xx; 408 is none: who knows what was read before it."""
        is_client_error = HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return is_client_error and self.status != HTTPStatus.REQUEST_TIMEOUT

    @property
    def holds_error(self) -> bool:
        """Whether the body is an error envelope, which may come with a status of 200."""
        return self.document is not None and (
            "errorCode" in self.document or "fault" in self.document
        )


class Exchange:
    """Sends to Safaricom and reads what comes back, trusting neither the network nor the peer."""

    def __init__(
        self,
        settings: MpesaSettings,
        breaker: CircuitBreaker,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._breaker = breaker
        self._http = _build_http(settings, transport)

    def close(self) -> None:
        """Close what is open. Nothing can be sent after."""
        self._http.close()

    def get_with_keys(self, path: str) -> Answer:
        """GET with our consumer key and secret as Basic auth. Raises like ``post``."""
        keys = httpx2.BasicAuth(self._settings.consumer_key, self._settings.consumer_secret)
        request = self._http.build_request("GET", self._settings.url(path))
        return self._exchange(next(keys.auth_flow(request)))

    def post(self, path: str, body: dict[str, Any], token: str) -> Answer:
        """POST a JSON body with a bearer token, once.

        Raises MpesaUnavailable if it was not sent, MpesaUncertain if no answer came.
        """
        request = self._http.build_request(
            "POST",
            self._settings.url(path),
            content=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        return self._exchange(request, hide=token)

    def _exchange(self, request: httpx2.Request, *, hide: str = "") -> Answer:
        if (wait_seconds := self._breaker.enter()) > 0:
            raise MpesaUnavailable(
                "Not sent: the gateway failed too often just now",
                retry_after_seconds=int(wait_seconds) + 1,
            )
        try:
            answer = self._receive(request, hide)
        except MpesaError:
            self._breaker.report_failure()
            raise
        if answer.document is not None or answer.is_refusal:
            self._breaker.report_success()
        else:
            self._breaker.report_failure()
        return answer

    def _receive(self, request: httpx2.Request, hide: str) -> Answer:
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                raw, trouble = self._read_body(response)
            finally:
                response.close()
        except _NOT_SENT as error:
            raise MpesaUnavailable(
                f"Not sent: {_describe(error)}",
                retry_after_seconds=int(self._settings.breaker_pause_seconds),
            ) from error
        except httpx2.HTTPError as error:
            raise MpesaUncertain(f"No answer: {_describe(error)}") from error
        if len(hide) >= _SHORTEST_SECRET:
            # Safaricom echoes the access token in its error texts; here it ends.
            raw = raw.replace(hide.encode(), b"[hidden]")
        return _read_answer(response, raw, trouble)

    def _read_body(self, response: httpx2.Response) -> tuple[bytes, str | None]:
        """The body, or why it is not read.

        It is decoded piece by piece and never beyond the cap, however small it travelled.
        """
        if response.is_redirect:
            return b"", "a redirect, which we do not follow"
        if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS_READ:
            return b"", "an encoding that we did not ask for"
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self._settings.max_response_bytes:
                return b"", "a body beyond all bounds"
        return bytes(body), None


def build_transport(settings: MpesaSettings) -> httpx2.BaseTransport:
    """What carries requests where nothing else is asked for."""
    return DeadlineTransport(
        total_timeout_seconds=settings.total_timeout_seconds,
        max_connections=settings.max_connections,
    )


def _build_http(settings: MpesaSettings, transport: httpx2.BaseTransport | None) -> httpx2.Client:
    return httpx2.Client(
        transport=transport or build_transport(settings),
        timeout=httpx2.Timeout(
            connect=settings.connect_timeout_seconds,
            read=settings.read_timeout_seconds,
            write=settings.read_timeout_seconds,
            pool=settings.connect_timeout_seconds,
        ),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept
        follow_redirects=False,
        trust_env=False,
    )


def _read_answer(response: httpx2.Response, raw: bytes, trouble: str | None) -> Answer:
    document = None
    if trouble is None:
        try:
            document = load_strict_json(raw)
        except UnreadableJson as error:
            trouble = str(error)
        else:
            trouble = None if isinstance(document, dict) else "no JSON object"
    return Answer(
        status=response.status_code,
        document=document if isinstance(document, dict) else None,
        trouble=trouble,
        empty=trouble is not None and not raw.strip(),
        retry_after=response.headers.get("Retry-After"),
    )


def _describe(error: httpx2.HTTPError) -> str:
    return f"{type(error).__name__}: {scrub_text(str(error))}"
