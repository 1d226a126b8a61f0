"""Load by a client that is not what is measured: wrk where there is one, else our own.

Both send the next request of a connection as soon as the last is answered.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drill.processes import ROOT

FRESH = "fresh-each-time-0123456789abcdef"
"""Where this stands in a request, each sending has something else of the same length."""

_GRACE_SECONDS = 60.0
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")
_PLACES = {
    "p50_ms": re.compile(r"50%\s+([\d.]+)(\w+)"),
    "p99_ms": re.compile(r"99%\s+([\d.]+)(\w+)"),
}
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, over and over."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def to_bytes(self, host: str) -> bytes:
        headers = {"Host": host, **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body.encode()))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n{self.body}".encode()


@dataclass(frozen=True, slots=True)
class Load:
    """How a server did. ``client_share``: of one processor, what the client itself took.

    ``done`` and ``refused`` are counted by our own client alone, to the last answer;
    ``p95_ms`` is 0 where wrk has measured, which does not tell it.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    failed: int
    client_share: float
    p95_ms: float = 0.0
    done: int = 0
    refused: int = 0


def drive(
    port: int,
    requests: Sequence[Request],
    seconds: float,
    connections: int,
    *,
    own: bool = False,
    last_status: int = 0,
) -> Load:
    """Send these in turn until time is up. ``own``: not by wrk, even where there is one.

    Whoever is answered ``last_status`` asks no more, and has not failed.
    """
    is_plain = len(requests) == 1 and not requests[0].body and requests[0].method == "GET"
    began, used = time.perf_counter(), _used_by_children()
    wrk = shutil.which("wrk")
    if wrk and is_plain and not own:
        figures = _by_wrk(wrk, port, requests[0], seconds, connections)
    else:
        figures = _by_ours(port, requests, seconds, connections, last_status)
    share = (_used_by_children() - used) / (time.perf_counter() - began)
    return Load(client_share=share, **figures)


def client_name() -> str:
    return "wrk" if shutil.which("wrk") else f"our own client in {_processes(2)} processes"


def _by_wrk(
    wrk: str, port: int, request: Request, seconds: float, connections: int
) -> dict[str, float | int]:
    headers = [
        part for name, value in request.headers.items() for part in ("-H", f"{name}: {value}")
    ]
    told = subprocess.run(
        [
            *(wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"),
            *headers,
            f"http://127.0.0.1:{port}{request.path}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + _GRACE_SECONDS,
    ).stdout
    places = {}
    for name, pattern in _PLACES.items():
        found = _searched(pattern, told)
        places[name] = float(found[1]) * _UNITS[found[2]]
    bad = _BAD.search(told)
    return {"rate": float(_searched(_RATE, told)[1]), **places, "failed": 1 if bad else 0}


def _searched(pattern: re.Pattern[str], told: str) -> re.Match[str]:
    found = pattern.search(told)
    if found is None:
        raise ValueError(f"wrk said something else than expected:\n{told}")
    return found


def _by_ours(
    port: int, requests: Sequence[Request], seconds: float, connections: int, last_status: int
) -> dict[str, float | int]:
    """Several processes, each with its share of the connections."""
    count = _processes(connections)
    shares = [connections // count + (place < connections % count) for place in range(count)]
    children = []
    for place, share in enumerate(shares):
        told = {
            "port": port,
            "seconds": seconds,
            "connections": share,
            "first": place * (len(requests) // count),
            "last_status": last_status,
            "requests": [asdict(request) for request in requests],
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(ROOT))},
        )
        children.append((child, json.dumps(told)))
    for child, told in children:
        if child.stdin is None:
            raise RuntimeError("The client has no input.")
        child.stdin.write(told)
        child.stdin.close()
    times: list[float] = []
    rate, counts = 0.0, {"failed": 0, "done": 0, "refused": 0}
    for child, _told in children:
        if child.stdout is None:
            raise RuntimeError("The client has no output.")
        said = json.loads(child.stdout.read())
        child.wait(_GRACE_SECONDS)
        rate += said["rate"]
        for name in counts:
            counts[name] += said[name]
        times += said["times_ms"]
    times.sort()
    return {
        "rate": rate,
        "p50_ms": times[len(times) // 2] if times else 0.0,
        "p95_ms": times[len(times) * 95 // 100] if times else 0.0,
        "p99_ms": times[len(times) * 99 // 100] if times else 0.0,
        **counts,
    }


def _processes(connections: int) -> int:
    return max(1, min(2, os.cpu_count() or 1, connections))


def _used_by_children() -> float:
    """Processor seconds of every child that has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
