"""Counting what the web processes do, for Prometheus. Where nobody asks, nothing is counted.

Several processes count in files of one folder (PROMETHEUS_MULTIPROC_DIR), which the `web` command
makes anew at its start; whichever of them is asked adds them up.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from flask import Flask, Response, g
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event

from app.utils.gate import Rank
from app.utils.http import route_asked_for
from app.utils.limiter import on_store_failure

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Gathered(Protocol):
    """What is read when somebody asks, rather than counted when it happens."""

    def gauges(self) -> Mapping[str, tuple[str, str, Mapping[str, float]]]:
        """By name: what it is, the name of its label, and the values by that label."""


class Kept(Protocol):
    """Counts of the answers that a process keeps of its catalogue, since it began."""

    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def kept_bytes(self) -> int: ...


class Meter:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Histogram(
            "sokoni_http_request_seconds",
            "Requests by the template of their route, and how long they took.",
            ["route", "method", "status"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "sokoni_http_in_flight",
            "Requests that are being worked on.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.waiting = Gauge(
            "sokoni_http_waiting",
            "Requests that wait for others to be done.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.away = Counter(
            "sokoni_http_sent_away",
            "Requests that were answered 503 before anything was done for them.",
            ["rank"],
            registry=registry,
        )
        self.refusals = Counter(
            "sokoni_refusals",
            "Requests that were refused, by the code of the problem: out_of_stock, rate_limited, …",
            ["code"],
            registry=registry,
        )
        self.replays = Counter(
            "sokoni_idempotent_replays",
            "Answers that were given again to a request that was sent again.",
            registry=registry,
        )
        self.store_failures = Counter(
            "sokoni_limit_store_failures",
            "Times that the store of the rate limits did not answer.",
            registry=registry,
        )
        self.connections = Gauge(
            "sokoni_database_connections_in_use",
            "Connections to the database that are in use, by pool.",
            ["pool"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.most_connections = Gauge(
            "sokoni_database_connections_limit",
            "Connections to the database that may be in use, by pool.",
            ["pool"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._catalogue = _CatalogueMeter(registry)
        on_store_failure(self.store_failures.inc)
        for rank in (Rank.READER, Rank.WRITER):
            self.away.labels(rank.value)  # a count that is not there yet cannot be seen to rise

    def entered(self) -> None:
        self.in_flight.inc()

    def left(self) -> None:
        self.in_flight.dec()

    def lines_up(self) -> None:
        self.waiting.inc()

    def leaves_line(self) -> None:
        self.waiting.dec()

    def sent_away(self, rank: Rank) -> None:
        self.away.labels(rank.value).inc()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, f"{status // 100}xx").observe(seconds)
        self._catalogue.catch_up()

    def watch_catalogue(self, counts: Callable[[], Kept]) -> None:
        self._catalogue.counts = counts

    def watch_pool(self, name: str, engine: Engine, limit: int) -> None:
        self.most_connections.labels(name).set(limit)
        gauge = self.connections.labels(name)
        event.listen(engine, "checkout", lambda *_: gauge.inc())
        event.listen(engine, "checkin", lambda *_: gauge.dec())
        event.listen(engine, "detach", lambda *_: gauge.dec())

    def expose(self, gathered: Gathered) -> bytes:
        """All of it as Prometheus reads it, the other processes' as well."""
        self._catalogue.catch_up()
        folder = os.environ.get(FOLDER_VARIABLE)
        registry = self._registry
        if folder:
            _forget_the_dead(Path(folder))
            registry = CollectorRegistry()
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        beside = CollectorRegistry()
        beside.register(_Beside(gathered))
        return generate_latest(registry) + generate_latest(beside)


class _CatalogueMeter:
    """Counts on from where it was: the catalogue itself knows nothing of metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.counts: Callable[[], Kept] | None = None
        self._lock = threading.Lock()
        self._seen: tuple[Kept, dict[str, int]] | None = None
        self._looks = Counter(
            "sokoni_catalogue_looks",
            "What was asked of the answers that are kept, by whether it was there: hit, miss.",
            ["outcome"],
            registry=registry,
        )
        self._gone = Counter(
            "sokoni_catalogue_gone",
            "Answers that were kept: changed ones were not true any more, crowded_out ones found"
            " no room.",
            ["why"],
            registry=registry,
        )
        for counter, names in self._counters():
            for name in names:
                counter.labels(name)
        self._entries = Gauge(
            "sokoni_catalogue_entries",
            "Answers that are kept, of all processes.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._bytes = Gauge(
            "sokoni_catalogue_bytes",
            "What they take; CATALOGUE_CACHE_BYTES bounds it in each process.",
            multiprocess_mode="livesum",
            registry=registry,
        )

    def _counters(self) -> tuple[tuple[Counter, tuple[str, str]], ...]:
        return (self._looks, ("hit", "miss")), (self._gone, ("changed", "crowded_out"))

    def catch_up(self) -> None:
        if self.counts is None:
            return
        counts = self.counts()
        now = {
            "hit": counts.hits,
            "miss": counts.misses,
            "changed": counts.dropped,
            "crowded_out": counts.evicted,
        }
        with self._lock:
            before = self._seen[1] if self._seen and self._seen[0] is counts else {}
            if now == before:
                return
            self._seen = (counts, now)
            for counter, names in self._counters():
                for name in names:
                    if (risen := now[name] - before.get(name, 0)) > 0:
                        counter.labels(name).inc(risen)
            self._entries.set(counts.entries)
            self._bytes.set(counts.kept_bytes)


class _Beside(Collector):
    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    def collect(self) -> list[GaugeMetricFamily]:
        families = []
        for name, (what, label, values) in self._gathered.gauges().items():
            family = GaugeMetricFamily(name, what, labels=[label] if label else [])
            for value in values.items():
                family.add_metric([value[0]] if label else [], value[1])
            families.append(family)
        return families


def init_metrics(app: Flask, meter: Meter) -> None:
    """Count each request when it has been answered."""

    def count(response: Response) -> Response:
        code = g.get("problem_code")
        if code is not None:
            meter.refusals.labels(code).inc()
        if "Idempotent-Replayed" in response.headers:
            meter.replays.inc()
        began = g.get("began")
        if began is not None:
            seconds = time.perf_counter() - began
            meter.answered(*route_asked_for(), response.status_code, seconds)
        return response

    app.after_request(count)


def _forget_the_dead(folder: Path) -> None:
    """What a process that was killed had in its hands, nobody has; what it counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            continue
