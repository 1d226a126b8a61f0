"""A client of the bare standard library: many kept connections, raw sockets, one process.

Told what to send as JSON on its input, it answers with how that went on its output.
"""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from bench.load import Request

_CHUNK = 262_144
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


class Client:
    def __init__(self, port: int, requests: list[bytes], connections: int, first: int) -> None:
        self._port = port
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._next = first
        self.times: list[float] = []
        self.failed = 0
        for place in range(connections):
            self._open(place)

    def run(self, seconds: float) -> float:
        """Answers a second; it waits for the first one, however long that takes."""
        began = time.perf_counter()
        end = began + seconds
        lines = [key.data for key in self._selector.get_map().values()]
        for line in lines:
            self._send(line)
        now = began
        while now < end or not self.times:
            for key, _events in self._selector.select(timeout=max(end - now, 0.1)):
                self._read(key.data)
            now = time.perf_counter()
        return len(self.times) / (now - began)

    def _open(self, place: int) -> _Line:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(connection, place)
        self._selector.register(connection, selectors.EVENT_READ, line)
        return line

    def _send(self, line: _Line) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
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
            if head[9:10] not in b"23":
                self.failed += 1
        else:
            line.missing -= len(chunk)
        if line.missing <= 0:
            line.missing = -1
            self.times.append((time.perf_counter() - line.sent_at) * 1e3)
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
    client = Client(told["port"], requests, told["connections"], told["first"])
    rate = client.run(told["seconds"])
    step = len(client.times) // _MOST_TIMES + 1
    json.dump({"rate": rate, "failed": client.failed, "times_ms": client.times[::step]}, sys.stdout)


if __name__ == "__main__":
    main()
