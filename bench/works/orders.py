"""Placing orders: many buyers of many things, and many buyers of one.

An order has two lines and an idempotency key; its buyer shows a token. The ceiling writes the same
rows by the same statements with the driver alone. Afterwards the books are audited: every order
that was answered is there, and nothing was sold twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select

from app.models import Order, Product
from app.services.audit import audit
from app.utils.clock import utc_now
from bench.crowd import Crowd, gather, new_product
from bench.load import Load
from bench.options import FEW
from bench.run import Bench, Side, middle, said
from bench.shop import Shop
from bench.table import Line, at_least

_OWN = {"MAX_OPEN_ORDERS": "100000000", "WRITE_LIMIT": "1000000 per minute"}
_SPREAD, _HOT = 0.40, 0.35
_CROWD = 64
_UNITS = 1_000
_SOLD_OUT = 409
_MOST_SECONDS = 60
_MOST_MS = 1_000.0


@dataclass(slots=True)
class _Books:
    """How many orders were answered, to be held against those that are there."""

    shop: Shop
    before: int
    answered: int = 0

    def check(self) -> None:
        with self.shop.database.reading() as session:
            made = session.scalars(select(func.count()).select_from(Order)).one() - self.before
            findings = audit(session, utc_now())
        if made != self.answered or findings:
            raise RuntimeError(f"{self.answered} orders answered, {made} made; {findings[:5]}")


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        for limits in ("true", "false"):
            with bench.shop(
                kind, FEW, purpose="orders", RATE_LIMITS_ENABLED=limits, **_OWN
            ) as shop:
                crowd, books = gather(shop), _open_books(shop)
                yield _spread(bench, books, crowd, counted=limits == "true")
                if limits == "true":
                    yield from _hot(bench, books, crowd)
                books.check()


def _spread(bench: Bench, books: _Books, crowd: Crowd, *, counted: bool) -> Line:
    shop = books.shop
    ours, bare = (
        Side.of(shop, *crowd.spread()),
        Side.of(shop, *crowd.spread(bare=True, is_counted=counted)),
    )
    duel = bench.duel(ours, bare)
    books.answered += duel.answered
    return Line(
        f"an order of two lines, {'counted by the limits, ' if counted else ''}{shop.kind}",
        duel.ours_said,
        f"the driver: {duel.ceiling_said}",
        *at_least(duel.ratio, _SPREAD),
    )


def _hot(bench: Bench, books: _Books, crowd: Crowd) -> Iterator[Line]:
    """Each round another product of 1,000 units, until it is sold out."""
    shop = books.shop
    rounds: list[tuple[Load, Load]] = []
    spread = Side.of(shop, *crowd.spread())
    for _ in range(bench.options.rounds):
        wide = bench.drive(spread, bench.options.seconds, _CROWD)
        product_id = new_product(shop, _UNITS)
        one = Side.of(shop, *crowd.on_one(product_id))
        hot = bench.drive(one, _MOST_SECONDS, _CROWD, last_status=_SOLD_OUT)
        _check_sold_out(shop, product_id, hot)
        books.answered += wide.done + hot.done
        rounds.append((hot, wide))
    ratio, hot, wide = middle(rounds)
    yield Line(
        f"{_CROWD} buyers on one product with {_UNITS:,} units, {shop.kind}",
        said(hot),
        f"spread: {said(wide)}",
        *at_least(ratio, _HOT),
    )
    yield Line(
        f"the last but one of a hundred of those, {shop.kind}",
        f"{hot.p99_ms:,.0f} ms",
        f"spread: {wide.p99_ms:,.0f} ms",
        None,
        f"≤ {_MOST_MS:,.0f} ms",
        hot.p99_ms <= _MOST_MS,
    )


def _check_sold_out(shop: Shop, product_id: int, load: Load) -> None:
    with shop.database.reading() as session:
        left = session.scalars(
            select(Product.on_hand - Product.reserved).where(Product.id == product_id)
        ).one()
    if (load.done, left) != (_UNITS, 0):
        raise RuntimeError(f"Of {_UNITS} units {load.done} were sold, and {left} are left.")


def _open_books(shop: Shop) -> _Books:
    with shop.database.reading() as session:
        return _Books(shop, session.scalars(select(func.count()).select_from(Order)).one())
