"""One request to an address, by whoever may not trust it: bounded, and without following."""

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from app.integrations.deadline_transport import DeadlineTransport
from app.integrations.outside.certificates import judge, read_expiry

_LARGEST_BODY_BYTES = 65_536
_USER_AGENT = "sokoni-doctor"


class Trouble(StrEnum):
    """Why there is no answer."""

    NAME = "the name does not resolve"
    REFUSED = "nobody listens there"
    LATE = "no answer came in time"
    CERTIFICATE = "the certificate is not accepted"
    BROKEN = "the connection broke"


class Unreached(Exception):
    """There was no answer; ``detail`` is what the system says, in English and in one line."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Sight:
    """What came back. The names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def is_redirect(self) -> bool:
        return self.status in {301, 302, 303, 307, 308}

    @property
    def kind(self) -> str:
        """The media type alone, such as ``text/html``."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Outside:
    """The world as it is seen from this machine, by no proxy of the environment's."""

    def __init__(
        self, *, timeout_seconds: float = 10, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._given_context = ssl_context

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Loaded when it is needed: reading all certificates takes a while."""
        return self._given_context or httpx2.create_ssl_context()

    def look(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Sight:
        """Send one request and read what comes back. Raises Unreached."""
        began = time.monotonic()
        try:
            with self._open(url) as client:
                response = client.send(
                    client.build_request(method, url, headers=headers, content=content),
                    stream=True,
                )
                try:
                    body = _read_some(response)
                finally:
                    response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _explain(error) from error
        return Sight(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            seconds=time.monotonic() - began,
        )

    def resolve(self, host: str) -> list[str]:
        """The addresses of a name, each once. Raises Unreached."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreached(Trouble.NAME, _first_line(error)) from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def certificate_ends_at(self, host: str, port: int) -> datetime:
        """Raises BadCertificate for one that is not accepted, and Unreached."""
        try:
            return read_expiry(host, port, self._context, timeout_seconds=self._timeout_seconds)
        except OSError as error:
            raise _explain(error) from error

    def _open(self, url: str) -> httpx2.Client:
        is_secure = url.lower().startswith("https:")
        return httpx2.Client(
            transport=DeadlineTransport(
                total_timeout_seconds=self._timeout_seconds,
                max_connections=1,
                ssl_context=self._context if is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            ),
            timeout=self._timeout_seconds,
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )


def _read_some(response: httpx2.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _LARGEST_BODY_BYTES:
            break
    return bytes(body[:_LARGEST_BODY_BYTES])


def _explain(error: BaseException) -> Unreached:
    """The reason lies at the bottom of a pile of exceptions."""
    pile = [error]
    while (below := pile[-1].__cause__ or pile[-1].__context__) is not None and below not in pile:
        pile.append(below)
    for one in reversed(pile):
        trouble = _name_trouble(one)
        if trouble is not None:
            return Unreached(trouble, _first_line(one))
    return Unreached(Trouble.BROKEN, _first_line(error))


def _name_trouble(error: BaseException) -> Trouble | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble.CERTIFICATE
    if isinstance(error, socket.gaierror):
        return Trouble.NAME
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return Trouble.LATE
    return Trouble.REFUSED if isinstance(error, ConnectionRefusedError) else None


def _first_line(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(judge(error))
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
