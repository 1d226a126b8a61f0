"""Reading the catalogue of 10,000 products: the first page and one product.

Beside them stands a view of the shop that sends the page from a constant: what is between it and
Flask alone is the price of the gate, the log, the hooks and the headers of every answer.
"""

from collections.abc import Iterator

from bench.load import Request
from bench.run import Bench, Duel, Side
from bench.shop import Shop
from bench.table import Line, at_least, no_goal

_PAGE, _PRODUCT = "/api/items", "/api/items/9876"
_INSIDE = "/bench/constant"
_WARM = {"postgresql": 0.50, "sqlite": 0.90}
_COLD = 0.60


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        with bench.shop(kind) as shop:
            yield from _measure_warm(bench, shop)
        with bench.shop(kind, CATALOGUE_CACHE_BYTES="0") as shop:
            yield from _measure_cold(bench, shop)


def _measure_warm(bench: Bench, shop: Shop) -> Iterator[Line]:
    goal = _WARM[shop.kind]
    with bench.bare(shop, _PAGE, _PRODUCT) as bare:
        for what, path in (("first page", _PAGE), ("one product", _PRODUCT)):
            constant = Side.of(bare, Request(path))
            duel = bench.duel(Side.of(shop, Request(path)), constant)
            yield _line(f"{what}, {shop.kind}", duel, "a constant", goal)
            known = Request(path, headers={"If-None-Match": _tag(shop, path)})
            duel = bench.duel(Side.of(shop, known), constant)
            yield _line(f"{what}, unchanged (304), {shop.kind}", duel, "a constant", goal)
        inside = Side.of(shop, Request(_INSIDE + _PAGE))
        duel = bench.duel(inside, Side.of(bare, Request(_PAGE)))
        yield Line(
            f"a constant in the shop, {shop.kind}",
            duel.ours_said,
            f"a constant: {duel.ceiling_said}",
            *no_goal(duel.ratio),
        )


def _measure_cold(bench: Bench, shop: Shop) -> Iterator[Line]:
    """Nothing is kept, as if somebody wrote to the catalogue before each request."""
    for what, path in (("first page", "/items"), ("one product", "/items/9876")):
        driver = Side.of(shop, Request(f"/bench/driver{path}"))
        duel = bench.duel(Side.of(shop, Request(f"/api{path}")), driver)
        yield _line(f"{what}, just changed, {shop.kind}", duel, "the driver", _COLD)


def _line(work: str, duel: Duel, ceiling: str, goal: float) -> Line:
    return Line(
        work, duel.ours_said, f"{ceiling}: {duel.ceiling_said}", *at_least(duel.ratio, goal)
    )


def _tag(shop: Shop, path: str) -> str:
    return shop.get(path).headers["ETag"]
