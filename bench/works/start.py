"""How soon a shop that is started answers, and what it needs then."""

from collections.abc import Iterator
from statistics import median

from bench.load import Request
from bench.run import Bench, Side
from bench.table import Line

_GOAL_SECONDS, _GOAL_MB = 1.5, 90
_QUEUE = "32"
"""As by itself; other works let more requests wait, and each takes a thread."""

_ASKED = ("/", "/api/items", "/api/items/7", "/api/search?query=shoe", "/readyz")


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        seconds, used, whole = [], [], []
        for _ in range(bench.options.rounds):
            with bench.shop(kind, WEB_QUEUE=_QUEUE) as shop:
                seconds.append(shop.started_seconds)
                asked = Side.of(shop, *map(Request, _ASKED))
                bench.load(asked, bench.options.seconds, bench.options.connections)
                used.append(shop.memory_mb())
                whole.append(shop.whole_memory_mb())
                count = len(shop.workers())
        yield Line(
            f"start to first answer, {kind}",
            f"{median(seconds):.2f} s",
            f"quickest {min(seconds):.2f} s",
            None,
            f"≤ {_GOAL_SECONDS} s",
            median(seconds) <= _GOAL_SECONDS,
        )
        yield Line(
            f"memory of a worker, {kind}",
            f"{median(used):.0f} MB",
            f"{count} of them and their parent: {median(whole):.0f} MB",
            None,
            f"≤ {_GOAL_MB} MB",
            median(used) <= _GOAL_MB,
        )
