"""Searching 100,000 and a million products, as the API and the page do it: ranked, with facets.

One connection asks for one search after the other, another one each time: what is told is the
time of an answer over HTTP.
"""

import random
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from sqlalchemy import text

from bench.goods import CATEGORIES, KINDS, QUALITIES, SELLERS, rare_words
from bench.load import Load, Request
from bench.run import Bench, Side
from bench.shop import Shop
from bench.table import Line

_FEWER = 100_000
_EACH = 200
"""Searches of a kind that are made up."""

_GOAL_MS = 80
_LONG = 6
"""Letters of the words in which typing errors are made."""

_CHEAP = 200
_API, _PAGE, _SUGGEST = "/api/search", "/search", "/search/suggest"
_FRAGMENT = {"HX-Request": "true"}


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        loads: dict[int, list[tuple[str, Load]]] = {}
        sizes = (min(_FEWER, bench.options.many), bench.options.many)
        for products in sizes:
            with bench.shop(kind, products) as shop:
                _read_once(shop)
                loads[products] = [
                    (what, bench.load(Side(shop, requests), 2 * bench.options.seconds, 1))
                    for what, requests in _searches(products).items()
                ]
        for (what, few), (_, many) in zip(*(loads[size] for size in sizes), strict=True):
            yield Line(
                f"search {what}, {sizes[1]:,}, {kind}",
                f"p50 {many.p50_ms:.0f} ms, p95 {many.p95_ms:.0f} ms",
                f"of {sizes[0]:,}: p95 {few.p95_ms:.0f} ms",
                None,
                f"p95 ≤ {_GOAL_MS} ms",
                many.p95_ms <= _GOAL_MS and few.p95_ms <= _GOAL_MS,
            )


def _read_once(shop: Shop) -> None:
    """As in a shop that is open for a while: its products and their words lie in memory."""
    with shop.database.engine.connect() as connection:
        if shop.kind == "postgresql":
            connection.execute(text("SET statement_timeout = 0"))
            connection.execute(text("SELECT max(length(document)) FROM search_products"))
        connection.execute(text("SELECT max(length(description)), max(length(name)) FROM products"))


def _searches(products: int) -> dict[str, list[Request]]:
    draw = random.Random("searches")
    rare = rare_words()

    def kind() -> str:
        return draw.choice(KINDS)

    def two() -> str:
        return f"{draw.choice(QUALITIES)} {kind()}"

    def each(words: Callable[[], str], path: str = _API, **narrowed: object) -> list[Request]:
        return [_request(path, query=words(), **narrowed) for _ in range(_EACH)]

    return {
        "for a frequent word": each(kind),
        "for a rare word": each(lambda: draw.choice(rare)),
        "for a SKU": each(lambda: f"SKU-{draw.randint(1, products)}"),
        "for two frequent words": each(two),
        "for frequent and rare": each(lambda: f"{kind()} {draw.choice(rare)}"),
        "for a beginning": each(lambda: kind()[: draw.randint(1, 4)]),
        "with a typing error": each(lambda: _misspelt(draw, KINDS)),
        "with an error in a rare word": each(lambda: _misspelt(draw, rare)),
        "below a price": each(kind, max_price=_CHEAP),
        "for two words below a price": each(two, max_price=_CHEAP),
        "in a category": [
            _request(_API, query=kind(), category=f"shelf-{draw.randint(1, CATEGORIES)}")
            for _ in range(_EACH)
        ],
        "from a seller, counted": [
            _request(_API, query=kind(), seller_id=draw.randint(1, SELLERS), include_total="true")
            for _ in range(_EACH)
        ],
        "for what is sold out": each(kind, in_stock="false"),
        "as a page": each(two, _PAGE),
        "while one types": each(lambda: kind()[:4], _SUGGEST),
    }


def _request(path: str, **asked: object) -> Request:
    headers = _FRAGMENT if path == _SUGGEST else {}
    return Request(f"{path}?{urlencode(asked)}", headers=headers)


def _misspelt(draw: random.Random, words: list[str]) -> str:
    """A word with a letter left out, not the first and not the last."""
    word = draw.choice([word for word in words if len(word) >= _LONG])
    place = draw.randrange(1, len(word) - 1)
    return word[:place] + word[place + 1 :]
