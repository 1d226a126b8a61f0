"""A Redis of the bench's own, and what it was asked."""

import csv
import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from app.jobs.queue import HueyDoorbell
from drill.processes import Program, free_port, wait_until

_OF_THE_BENCH = {"info", "client", "hello", "ping"}


@dataclass(frozen=True, slots=True)
class Store:
    port: int
    client: "redis.Redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def doorbell(self) -> HueyDoorbell:
        return HueyDoorbell(self.url)

    def commands(self) -> dict[str, int]:
        """How often each was asked for until now, by clients and by scripts alike."""
        told = self.client.info("commandstats")
        names = {name.removeprefix("cmdstat_"): said["calls"] for name, said in told.items()}
        return {
            name: calls
            for name, calls in names.items()
            if name.partition("|")[0] not in _OF_THE_BENCH
        }

    def rate(self) -> float:
        """Counts a second, by Redis's own client. 0 where that is not installed."""
        program = shutil.which("redis-benchmark")
        if program is None:
            return 0.0
        told = subprocess.run(
            [program, "-p", str(self.port), "-t", "incr", "-n", "200000", "-c", "16", "--csv"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        (line,) = csv.DictReader(io.StringIO(told))
        return float(line["rps"])


@contextmanager
def open_store() -> Iterator[Store | None]:
    """None where there is no redis-server to be had."""
    server = shutil.which("redis-server")
    if server is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="sokoni-bench-") as folder:
        port = free_port()
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        program = Program("redis", command, Path(folder), {"PATH": "/usr/bin:/bin"})
        client = redis.Redis(port=port, socket_timeout=5)
        try:
            wait_until(lambda: _answers(client), "Redis answers")
            yield Store(port, client)
        finally:
            client.close()
            program.clear_away()


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
