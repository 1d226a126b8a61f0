"""Requests as bytes, also such as no honest client sends."""

import re
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass

_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """The statuses that came, and whether the other side then closed the connection."""

    statuses: list[int]
    is_closed: bool


def say(
    port: int,
    raw: bytes,
    *,
    answers: int = 1,
    seconds: float = 30,
    tls: ssl.SSLContext | None = None,
    host: str = "",
) -> Heard:
    """Send the bytes and listen until so many answers are whole, and a moment longer."""
    heard = b""
    with ExitStack() as closing:
        connection: socket.socket = closing.enter_context(
            socket.create_connection(("127.0.0.1", port), timeout=seconds)
        )
        if tls is not None:
            connection = closing.enter_context(tls.wrap_socket(connection, server_hostname=host))
        try:
            connection.sendall(raw)
            while not _is_whole(heard, answers):
                part = connection.recv(65_536)
                if not part:
                    return Heard(_statuses(heard), is_closed=True)
                heard += part
            # An answer that ends a connection says so, or the end itself follows at once.
            if re.search(rb"^connection: close", heard, re.IGNORECASE | re.MULTILINE):
                return Heard(_statuses(heard), is_closed=True)
            connection.settimeout(0.5)
            return Heard(_statuses(heard), is_closed=not connection.recv(1))
        except TimeoutError:
            return Heard(_statuses(heard), is_closed=False)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            return Heard(_statuses(heard), is_closed=True)


def _statuses(heard: bytes) -> list[int]:
    return [int(found) for found in _STATUS.findall(heard)]


def _is_whole(heard: bytes, answers: int) -> bool:
    rest, whole = heard, 0
    while b"\r\n\r\n" in rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return False
        rest, whole = rest[size:], whole + 1
    return whole >= answers


@dataclass(frozen=True)
class Trick:
    """One request that two servers may read differently; ``{host}`` is the shop's own.

    ``alone`` and ``proxied`` are the statuses that may come, from the shop's own server and from
    behind nginx; ``closes`` says that the connection has to be over then.
    """

    raw: str
    alone: set[int]
    proxied: set[int]
    closes: bool = True


_POST = "POST /api/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
_GET = "GET /healthz HTTP/1.1\r\nHost: {host}\r\n"
_NO_MORE = "0\r\n\r\n"

TRICKS = {
    "two lengths": Trick(
        _POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + _NO_MORE, {400}, {400}
    ),
    "two lengths, the other way round": Trick(
        _POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + _NO_MORE, {400}, {400}
    ),
    "chunked twice": Trick(
        _POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + _NO_MORE,
        {400},
        {400, 501},
    ),
    "an unknown coding": Trick(
        _POST + "Transfer-Encoding: xchunked\r\n\r\n" + _NO_MORE, {400}, {400, 501}
    ),
    "chunked, then another": Trick(
        _POST + "Transfer-Encoding: chunked, identity\r\n\r\n" + _NO_MORE, {400}, {400, 501}
    ),
    "another, then chunked": Trick(
        _POST + "Transfer-Encoding: gzip, chunked\r\n\r\n" + _NO_MORE, {400}, {400, 501}
    ),
    "a control before chunked": Trick(
        _POST + "Transfer-Encoding: \x0bchunked\r\n\r\n" + _NO_MORE, {400}, {400, 501}
    ),
    "a space before the colon": Trick(
        _POST + "Transfer-Encoding : chunked\r\n\r\n" + _NO_MORE, {400}, {400}
    ),
    "chunked in HTTP/1.0": Trick(
        "POST /api/login HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n" + _NO_MORE,
        {400},
        {400},
    ),
    "two different lengths": Trick(
        _POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", {400}, {400}
    ),
    "a list of lengths": Trick(_POST + "Content-Length: 2, 2\r\n\r\n{{}}", {400}, {400}),
    "a length with a plus": Trick(_POST + "Content-Length: +2\r\n\r\n{{}}", {400}, {400}),
    "a negative length": Trick(_POST + "Content-Length: -1\r\n\r\n{{}}", {400}, {400}),
    "a hexadecimal length": Trick(_POST + "Content-Length: 0x2\r\n\r\n{{}}", {400}, {400}),
    "a length beyond counting": Trick(
        _POST + "Content-Length: 100000000000000000000\r\n\r\n{{}}", {400}, {400, 413}
    ),
    "no length after its name": Trick(_POST + "Content-Length: \r\n\r\n{{}}", {400}, {400}),
    "a folded header": Trick(_GET + "X-A: 1\r\n 2\r\n\r\n", {400}, {400, 200}),
    "a bare CR in a header": Trick(_GET + "X-A: 1\r2\r\n\r\n", {400}, {400}),
    "a zero byte in a header": Trick(_GET + "X-A: 1\x002\r\n\r\n", {400}, {400}),
    "a space in a header's name": Trick(_GET + "X A: 1\r\n\r\n", {400}, {400}),
    "a header without a colon": Trick(_GET + "XA\r\n\r\n", {400}, {400}),
    "no host": Trick("GET /healthz HTTP/1.1\r\n\r\n", {400}, {400}),
    "two hosts": Trick(_GET + "Host: evil.example\r\n\r\n", {400}, {400}),
    "the same host twice": Trick(_GET + "Host: {host}\r\n\r\n", {400}, {400}),
    "another host": Trick("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", {400}, {400}),
    "no host's name": Trick("GET /healthz HTTP/1.1\r\nHost: a/b@c\r\n\r\n", {400}, {400}),
    "another host in the address": Trick(
        "GET http://evil.example/healthz HTTP/1.1\r\n\r\n", {400}, {400}
    ),
    "another host in the address, ours beside it": Trick(
        "GET http://evil.example/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n",
        {200},  # the header alone decides, and nothing is made of the address's host
        {400},
        closes=False,
    ),
    "a chunk beyond counting": Trick(
        _POST + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{{}}\r\n" + _NO_MORE,
        {400},
        {400},
    ),
    "a chunk's length in C": Trick(
        _POST + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n" + _NO_MORE, {400}, {400}
    ),
    "chunks with bare LF": Trick(
        _POST + "Transfer-Encoding: chunked\r\n\r\n2\n{{}}\n0\n\n", {400}, {400}
    ),
    "a version that is none": Trick(
        "GET /healthz HTTP/1.2\r\nHost: {host}\r\n\r\n", {400}, {200, 505}, closes=False
    ),
    "no version": Trick("GET /healthz\r\n\r\n", {400}, {400}),
    "a header of 200 KB": Trick(_GET + "X-A: " + "a" * 200_000 + "\r\n\r\n", {431}, {400, 414}),
    "101 headers": Trick(
        _GET + "".join(f"X-{n}: a\r\n" for n in range(101)) + "\r\n", {431}, {431}, closes=False
    ),
    "an address of 70 KB": Trick(
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n", {414}, {414}
    ),
    "a space in the address": Trick("GET /a b HTTP/1.1\r\nHost: {host}\r\n\r\n", {400}, {400}),
    "a method of another kind": Trick(
        "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", {404}, {400, 405}, closes=False
    ),
    "an echo": Trick("TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n", {405}, {405}, closes=False),
}


def told(trick: Trick, host: str) -> bytes:
    return trick.raw.replace("{host}", host).replace("{{}}", "{}").encode("latin-1")
