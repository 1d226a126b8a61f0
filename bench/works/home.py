"""The storefront's home page: how fast it is made, and what a browser has to fetch to show it."""

from collections.abc import Iterator
from html.parser import HTMLParser

from bench.load import Request
from bench.run import Bench, Side
from bench.shop import Shop
from bench.table import Line, at_least

_HOME = "/"
_GOAL, _MOST_KB, _MOST_REQUESTS = 0.30, 50, 3
_BROWSER = {"Accept-Encoding": "br, gzip"}
_KILOBYTE = 1024


class _Needed(HTMLParser):
    """What a page fetches beside itself: what it waits for before it is shown, and what comes
    later. Pictures of products, which are a shop's own, are neither.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: list[str] = []
        self.later: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        kinds = (values.get("rel") or "").split()
        if tag == "link" and "stylesheet" in kinds and values.get("href"):
            self.first.append(values["href"] or "")
        elif tag == "link" and "icon" in kinds and values.get("href"):
            self.later.append(values["href"] or "")
        elif tag == "script" and values.get("src"):
            waits = not {"defer", "async"} & values.keys() and values.get("type") != "module"
            (self.first if waits else self.later).append(values["src"] or "")


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        with bench.shop(kind) as shop, bench.bare(shop, _HOME) as bare:
            page = Request(_HOME)
            duel = bench.duel(Side.of(shop, page), Side.of(bare, page))
            yield Line(
                f"home page, {kind}",
                duel.ours_said,
                f"a constant: {duel.ceiling_said}",
                *at_least(duel.ratio, _GOAL),
            )
            if kind == bench.options.databases[0]:
                yield from _weigh(shop)


def _weigh(shop: Shop) -> Iterator[Line]:
    answer = shop.get(_HOME, _BROWSER)
    needed = _Needed()
    needed.feed(shop.get(_HOME).body.decode())
    sizes = [len(shop.get(path, _BROWSER).body) for path in needed.first + needed.later]
    size = (len(answer.body) + sum(sizes)) / _KILOBYTE
    requests = 1 + len(needed.first)
    yield Line(
        "home page over the wire",
        f"{size:.1f} KB",
        f"the page alone: {len(answer.body) / _KILOBYTE:.1f} KB",
        None,
        f"≤ {_MOST_KB} KB",
        size <= _MOST_KB,
    )
    yield Line(
        "requests before it can be read",
        f"{requests}",
        f"afterwards: {len(needed.later)}",
        None,
        f"≤ {_MOST_REQUESTS}",
        requests <= _MOST_REQUESTS,
    )
