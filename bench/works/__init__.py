"""The works that are measured, each a module: ``measure(bench)`` yields the lines of the table."""

from collections.abc import Callable, Iterator

from bench.run import Bench
from bench.table import Line
from bench.works import callbacks, catalogue, depth, home, orders, peers, search, start

WORKS: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "catalogue": catalogue.measure,
    "depth": depth.measure,
    "search": search.measure,
    "home": home.measure,
    "start": start.measure,
    "orders": orders.measure,
    "callbacks": callbacks.measure,
    "peers": peers.measure,
}
"""In the order in which they are measured and told. Their modules' docstrings say what they do."""

UNNAMED = tuple(name for name in WORKS if name != "peers")
"""What is measured where nobody says what: that which needs no network."""
