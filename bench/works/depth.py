"""Pages of a big catalogue, deep ones and narrowed ones, beside those of 10,000 products.

Nothing is kept, so that each page is found anew. One connection asks for one page after the other:
what is told is the time of a page.
"""

from collections.abc import Iterator
from datetime import timedelta

from app.models import Product
from app.services.pages import write_cursor
from app.services.product_pages import Shape, sort_keys
from bench import goods
from bench.load import Request
from bench.options import FEW
from bench.run import Bench, Side
from bench.table import Line, at_most

_PAGE_LENGTH = 20
_DEEP = 5_000
_GOAL = 1.3
_FEW_PRICED = 50
_NARROWED = {
    "by name": "sort=name",
    "from the dearest": "sort=-price",
    "of a category, by price": "category=shelf-7&sort=price",
    "of five categories": "category=floor-1",
    "of a seller, by name": "seller_id=7&sort=name",
    "at few prices": "min_price=50&max_price={dearest}",
    "in stock": "in_stock=true",
}


def measure(bench: Bench) -> Iterator[Line]:
    many = bench.options.many
    for kind in bench.options.databases:
        with (
            bench.shop(kind, FEW, CATALOGUE_CACHE_BYTES="0") as small,
            bench.shop(kind, many, CATALOGUE_CACHE_BYTES="0") as big,
        ):
            first = Request("/api/items")
            deep = Request(f"/api/items?cursor={_cursor(many)}")
            pages = [("page 1", first, first), (f"page {_DEEP:,}", deep, first)]
            for what, query in _NARROWED.items():
                pages.append((f"page 1 {what}", _narrowed(query, many), _narrowed(query, FEW)))
            for what, ours, theirs in pages:
                duel = bench.duel(Side.of(big, ours), Side.of(small, theirs), connections=1)
                yield Line(
                    f"{what} of {many:,}, {kind}",
                    f"{duel.ours.p50_ms:.2f} ms",
                    f"of {FEW:,}: {duel.ceiling.p50_ms:.2f} ms",
                    *at_most(1 / duel.ratio, _GOAL),
                )


def _narrowed(query: str, products: int) -> Request:
    """In each shop so many prices that fifty products have them."""
    dearest = 50 + goods.DEAREST_SHILLINGS * _FEW_PRICED / products
    return Request(f"/api/items?{query.format(dearest=round(dearest, 2))}")


def _cursor(many: int) -> str:
    """Where the page before the deep one ends, in a catalogue whose newest has the highest id."""
    number = many - (_DEEP - 1) * _PAGE_LENGTH + 1
    keys = sort_keys(Product.__table__, Shape("created_at", descending=True))
    return write_cursor([goods.FIRST_DAY + timedelta(minutes=number), number], keys)
