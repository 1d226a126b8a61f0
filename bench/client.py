"""A client of the bare standard library: many kept connections, raw sockets, one process.

Told what to send as JSON on its input, it answers with how that went on its output. When time is
up it sends no more and waits for what is still to come: whatever was done for it is counted.
"""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from bench.load import FRESH, Request

_CHUNK = 262_144
_FRESH = FRESH.encode()
_PATIENCE_SECONDS = 30.0
_MOST_TIMES = 50_000
"""Beyond so many answers the times of every second, third, … are kept."""


@dataclass(slots=True)
class _Line:
    """One connection, and how much of its answer is still to come."""

    socket: socket.socket
    place: int
    sent_at: float = 0.0
    missing: int = -1
    """Bytes of the body; below zero while the head is not complete."""
    head: bytearray = field(default_factory=bytearray)
    status: bytes = b""


class Client:
    """``last``: the status that ends the asking of whoever gets it, and is no failure."""

    def __init__(
        self, port: int, requests: list[bytes], connections: int, first: int, last: int
    ) -> None:
        self._port = port
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._next = first
        self._last = str(last).encode()
        self._waiting = 0
        self._is_over = False
        self.times: list[float] = []
        self.refused = 0
        self.failed = 0
        for place in range(connections):
            self._open(place)

    def run(self, seconds: float) -> float:
        """Answers a second, up to the last that was not a refusal."""
        began = last_at = time.perf_counter()
        end = began + seconds
        lines = [key.data for key in self._selector.get_map().values()]
        for line in lines:
            self._send(line)
        in_time = 0
        while self._waiting:
            now = time.perf_counter()
            if now >= end + _PATIENCE_SECONDS:
                self.failed += self._waiting
                break
            self._is_over = self._is_over or now >= end
            for key, _events in self._selector.select(timeout=_PATIENCE_SECONDS):
                before = len(self.times)
                self._read(key.data)
                if len(self.times) > before and not self._is_over:
                    in_time, last_at = len(self.times), time.perf_counter()
        return in_time / max(last_at - began, 1e-9)

    def _open(self, place: int) -> _Line:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(connection, place)
        self._selector.register(connection, selectors.EVENT_READ, line)
        return line

    def _send(self, line: _Line) -> None:
        if self._is_over:
            return
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        if _FRESH in request:
            request = request.replace(_FRESH, uuid4().hex.encode())
        self._waiting += 1
        line.sent_at = time.perf_counter()
        line.socket.sendall(request)

    def _read(self, line: _Line) -> None:
        try:
            chunk = line.socket.recv(_CHUNK)
        except OSError:
            chunk = b""
        if not chunk:
            self._selector.unregister(line.socket)
            line.socket.close()
            self.failed += 1
            self._waiting -= 1
            self._send(self._open(line.place))
            return
        if line.missing < 0:
            line.head += chunk
            end = line.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, length = bytes(line.head[:end]).lower(), len(line.head)
            line.head.clear()
            line.missing = _body_length(head) - (length - end - 4)
            line.status = head[9:12]
        else:
            line.missing -= len(chunk)
        if line.missing <= 0:
            line.missing = -1
            self._take(line)

    def _take(self, line: _Line) -> None:
        self._waiting -= 1
        if line.status == self._last:
            self.refused += 1
            return
        if line.status[:1] in b"23":
            self.times.append((time.perf_counter() - line.sent_at) * 1e3)
        else:
            self.failed += 1
        self._send(line)


def _body_length(head: bytes) -> int:
    """0 for a 304, which has none."""
    found = head.find(b"\r\ncontent-length:")
    if found < 0:
        return 0
    return int(head[found + 17 :].partition(b"\r\n")[0])


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    host = f"127.0.0.1:{told['port']}"
    requests = [Request(**request).to_bytes(host) for request in told["requests"]]
    client = Client(told["port"], requests, told["connections"], told["first"], told["last_status"])
    rate = client.run(told["seconds"])
    step = len(client.times) // _MOST_TIMES + 1
    said = {
        "rate": rate,
        "failed": client.failed,
        "done": len(client.times),
        "refused": client.refused,
        "times_ms": client.times[::step],
    }
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
