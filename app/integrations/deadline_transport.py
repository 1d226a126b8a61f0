"""One HTTP exchange over one fresh connection, ended by a deadline.

HTTP clients time each read by itself, so a peer that sends a byte now and then is never late. Here
every read also ends at the deadline of its connection. Connections are not kept: one that was
closed meanwhile would turn a push that was never sent into one whose outcome is unknown.

The connect timeout counts for each address of the host by itself, and the resolver keeps its own
time; but until a connection stands, nothing was sent.
"""

import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpcore2
import httpx2

AddressesOf = Callable[[str, int], Sequence[str]]
"""Where a host is connected to, by its name and port: names or literal addresses, best first."""


def _by_name(host: str, _port: int) -> Sequence[str]:
    return (host,)


class DeadlineTransport(httpx2.BaseTransport):
    """HTTP/1.1 with verified TLS and a deadline in seconds counted from the connection's start.

    ``addresses_of`` chooses where a connection goes; what is asked for, and whose certificate is
    wanted, stays the host of the URL.
    """

    def __init__(
        self,
        *,
        total_timeout_seconds: float,
        max_connections: int,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        addresses_of: AddressesOf = _by_name,
    ) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl_context or httpx2.create_ssl_context(),
            max_connections=max_connections,
            max_keepalive_connections=0,
            network_backend=_DeadlineBackend(total_timeout_seconds, monotonic, addresses_of),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _speak_httpx():
            response = self._pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.read(),
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            response.status, headers=response.headers, stream=_BodyStream(response)
        )

    def close(self) -> None:
        self._pool.close()


class _BodyStream(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _speak_httpx():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _DeadlineBackend(httpcore2.SyncBackend):
    def __init__(
        self,
        total_timeout_seconds: float,
        monotonic: Callable[[], float],
        addresses_of: AddressesOf,
    ) -> None:
        self._total_timeout_seconds = total_timeout_seconds
        self._monotonic = monotonic
        self._addresses_of = addresses_of

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        ends_at = self._monotonic() + self._total_timeout_seconds
        *others, last = self._addresses_of(host, port)
        for address in others:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
                return _DeadlineStream(stream, ends_at, self._monotonic)
        stream = super().connect_tcp(last, port, timeout, local_address, socket_options)
        return _DeadlineStream(stream, ends_at, self._monotonic)


class _DeadlineStream(httpcore2.NetworkStream):
    def __init__(
        self, stream: httpcore2.NetworkStream, ends_at: float, monotonic: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._ends_at = ends_at
        self._monotonic = monotonic

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._cut(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._cut(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _DeadlineStream(secured, self._ends_at, self._monotonic)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _cut(self, timeout: float | None, late: type[httpcore2.TimeoutException]) -> float:
        left_seconds = self._ends_at - self._monotonic()
        if left_seconds <= 0:
            raise late("the deadline of the whole exchange has passed")
        return left_seconds if timeout is None else min(timeout, left_seconds)


_TRANSLATED = (
    httpcore2.ConnectTimeout,
    httpcore2.ReadTimeout,
    httpcore2.WriteTimeout,
    httpcore2.PoolTimeout,
    httpcore2.ConnectError,
    httpcore2.ReadError,
    httpcore2.WriteError,
    httpcore2.UnsupportedProtocol,
    httpcore2.LocalProtocolError,
    httpcore2.RemoteProtocolError,
)


@contextmanager
def _speak_httpx() -> Iterator[None]:
    """Raise what the layer below raises under the name it has in the layer above."""
    try:
        yield
    except _TRANSLATED as error:
        translated: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__)
        raise translated(str(error)) from error
