"""One POST to an address that a merchant named, connected to what was checked and nothing else.

A name is resolved once for each request. Every address that it has must be open to anybody, and
the connection goes to these literal addresses: a name that answers otherwise a moment later, as in
DNS rebinding, is not asked again. The Host header, the server name and the certificate stay the
name's own. There is no proxy, no redirect, no cookie, and little is read of what comes back.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from math import ceil
from threading import Lock

import httpx2

from app.db import in_transaction
from app.integrations.deadline_transport import DeadlineTransport
from app.ports import Clock, WebhookAnswer, WebhookRequest
from app.utils.web_address import CallRules, is_open_to, read_web_address

TOTAL_SECONDS = 15.0
"""From the connection's start to the last byte that is read."""

LONGEST_ANSWER = 2_000
"""So many bytes of an answer are read."""

_CONNECT_SECONDS = 4.0
_ADDRESSES_TRIED = 3
_CONNECTIONS = 64
_LONGEST_ERROR = 300

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, the best first. Raises OSError for a name without any."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that no resolver takes
        raise OSError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _Closed(Exception):
    """The name leads to where nothing is sent. Not an OSError, which HTTP would make its own."""


class HttpWebhooks:
    """The WebhookSender port."""

    def __init__(
        self,
        rules: CallRules,
        clock: Clock,
        *,
        resolve: Resolve = resolve,
        ssl_context: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._total_seconds = total_seconds
        self._lock = Lock()
        self._http: httpx2.Client | None = None

    def check(self, url: str) -> None:
        """Raises ValueError, with a sentence."""
        if in_transaction():
            raise RuntimeError("a name was to be resolved inside a transaction")
        address = read_web_address(url, self._rules)
        try:
            self._open_addresses(address.host, address.port)
        except OSError:
            raise ValueError("This host is not known to the internet's name servers.") from None
        except _Closed as closed:
            raise ValueError(str(closed)) from None

    def send(self, request: WebhookRequest) -> WebhookAnswer:
        if in_transaction():
            raise RuntimeError("the network was to be used inside a transaction")
        began = time.monotonic()
        try:
            read_web_address(request.url, self._rules)  # the rules may have changed since
            answer = self._exchange(request)
        except (ValueError, _Closed) as refusal:
            answer = _no_answer(str(refusal))
        except (httpx2.TransportError, OSError) as error:
            answer = _no_answer(f"{type(error).__name__}: {error}")
        return replace(answer, duration_ms=int((time.monotonic() - began) * 1000))

    def close(self) -> None:
        """Let go of what is open. The next request opens it again."""
        with self._lock:
            if self._http is not None:
                self._http.close()
                self._http = None

    def _exchange(self, request: WebhookRequest) -> WebhookAnswer:
        """Raises httpx2.TransportError where no status came; whatever follows one is a bonus."""
        http = self._open()
        ask = http.build_request(
            "POST", request.url, headers=dict(request.headers), content=request.body
        )
        response = http.send(ask, stream=True)
        try:
            return WebhookAnswer(
                status=response.status_code,
                duration_ms=0,
                text=_beginning_of(response),
                retry_after_seconds=self._retry_after(response),
            )
        finally:
            response.close()

    def _open(self) -> httpx2.Client:
        """Made at the first request: reading all certificates takes a while."""
        with self._lock:
            if self._http is None:
                self._http = self._build()
            return self._http

    def _build(self) -> httpx2.Client:
        return httpx2.Client(
            transport=DeadlineTransport(
                total_timeout_seconds=self._total_seconds,
                max_connections=_CONNECTIONS,
                ssl_context=self._ssl_context,
                addresses_of=self._open_addresses,
            ),
            timeout=httpx2.Timeout(self._total_seconds, connect=_CONNECT_SECONDS),
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept
            follow_redirects=False,
            trust_env=False,
        )

    def _open_addresses(self, host: str, port: int) -> Sequence[str]:
        """Where a name leads, if all of it is open to anybody. Raises _Closed, and OSError."""
        found = self._resolve(host, port)
        if not found or not all(is_open_to(address, self._rules) for address in found):
            raise _Closed("This host leads to a machine that not everybody can reach.")
        return found[:_ADDRESSES_TRIED]

    def _retry_after(self, response: httpx2.Response) -> int | None:
        """In seconds or as a date; what is neither is not there."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdecimal():
            return int(value[:9])
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0, ceil(_seconds_between(self._clock(), moment)))


def _seconds_between(now: datetime, moment: datetime) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return (moment - now).total_seconds()


def _no_answer(reason: str) -> WebhookAnswer:
    return WebhookAnswer(status=None, duration_ms=0, error=_printable(reason)[:_LONGEST_ERROR])


def _beginning_of(response: httpx2.Response) -> str:
    """What an operator needs of a body, as text; the rest stays where it is."""
    body = bytearray()
    try:
        for piece in response.iter_raw():
            body += piece
            if len(body) >= LONGEST_ANSWER:
                break
    except httpx2.TransportError:
        pass  # the status has come, and it alone decides
    return _printable(bytes(body[:LONGEST_ANSWER]).decode("utf-8", "replace"))


def _printable(text: str) -> str:
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for letter in text.replace("\r\n", "\n")
    )
