"""The same work asked of others who can be installed: django-oscar with its API.

Both shops have 10,000 of the same products, the same server with as many processes and threads,
the same kind of database. The first page, one product, and orders of two lines: of django-oscar
these are three requests each, and what is counted is orders. ``ceiling`` is theirs here.

Needs the network once, and is left out unless it is named. docs/performance.md says what differs.
"""

from collections.abc import Iterator

from bench.crowd import Crowd, gather
from bench.load import Load, Request
from bench.options import FEW
from bench.peers.oscar import Oscar
from bench.peers.oscar_buyers import REQUESTS, buy
from bench.run import Bench, Side, middle, said
from bench.shop import Server, Shop
from bench.table import Line, no_goal

_PRODUCT = 9_876
_OURS = {"first page": "/api/items", "one product": f"/api/items/{_PRODUCT}"}
_THEIRS = {"first page": "/api/products/", "one product": f"/api/products/{_PRODUCT}/"}
_ALL_FIELDS = (
    "url,id,upc,title,description,categories,date_created,date_updated,images,price,availability"
)
"""What the settings of its API can add to a list. Price and stock are addresses to be asked."""

_OWN = {
    "MAX_OPEN_ORDERS": "100000000",
    "WRITE_LIMIT": "1000000 per minute",
    "RATE_LIMITS_ENABLED": "true",
}


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        with bench.oscar(kind) as oscar:
            with bench.shop(kind) as shop:
                yield from _reading(bench, shop, oscar, f"as delivered, {kind}")
            with bench.shop(kind, CATALOGUE_CACHE_BYTES="0") as shop:
                yield from _reading(bench, shop, oscar, f"nothing kept, {kind}")
            with bench.shop(kind, FEW, purpose="peers", **_OWN) as shop:
                yield _ordering(bench, shop, oscar, gather(shop))
        with (
            bench.oscar(kind, PRODUCT_FIELDS=_ALL_FIELDS) as oscar,
            bench.shop(kind, CATALOGUE_CACHE_BYTES="0") as shop,
        ):
            yield _page(bench, shop, oscar, "first page", f"theirs with more fields, {kind}")


def _reading(bench: Bench, shop: Shop, oscar: Oscar, how: str) -> Iterator[Line]:
    for what in _OURS:
        yield _page(bench, shop, oscar, what, how)


def _page(bench: Bench, shop: Shop, oscar: Oscar, what: str, how: str) -> Line:
    ours, theirs = _OURS[what], _THEIRS[what]
    duel = bench.duel(Side.of(shop, Request(ours)), Side.of(oscar, Request(theirs)))
    return Line(
        f"{what}, {how}",
        f"{duel.ours_said}, {_length(shop, ours):,} bytes",
        f"django-oscar: {duel.ceiling_said}, {_length(oscar, theirs):,} bytes",
        *no_goal(duel.ratio),
    )


def _length(server: Server, path: str) -> int:
    return len(server.get(path).body)


def _ordering(bench: Bench, shop: Shop, oscar: Oscar, crowd: Crowd) -> Line:
    """Raises where an order that was answered is not there."""
    spread = Side.of(shop, *crowd.spread())
    connections = bench.options.connections
    sessions = oscar.sessions()[:connections]
    orders, units = oscar.count_orders()
    bench.drive(spread, 1, connections)
    answered = buy(oscar, sessions, 1).done
    rounds: list[tuple[Load, Load]] = []
    for _ in range(bench.options.rounds):
        ours = bench.drive(spread, bench.options.seconds, connections)
        theirs = buy(oscar, sessions, bench.options.seconds)
        answered += theirs.done
        rounds.append((ours, theirs))
    made, ordered = oscar.count_orders()
    if (made - orders, ordered - units) != (answered, 2 * answered):
        raise RuntimeError(
            f"django-oscar answered {answered} orders, has {made - orders} and says that"
            f" {ordered - units} units are ordered."
        )
    ratio, ours, theirs = middle(rounds)
    return Line(
        f"an order of two lines, {shop.kind}",
        said(ours),
        f"django-oscar: {said(theirs)}, {REQUESTS} requests each",
        *no_goal(ratio),
    )
