"""What a work is given: shops, and two sides measured in turns."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

from bench.load import Load, Request, drive
from bench.options import FEW, Options
from bench.peers.oscar import Oscar, open_oscar
from bench.shop import Server, Shop, Shops


@dataclass(frozen=True, slots=True)
class Side:
    """What is sent to whom, over and over."""

    server: Server
    requests: Sequence[Request]

    @classmethod
    def of(cls, server: Server, *requests: Request) -> "Side":
        return cls(server, requests)


@dataclass(frozen=True, slots=True)
class Duel:
    """Two sides of one work. ``ratio`` is the median of ours by theirs, round by round."""

    ratio: float
    ours: Load
    ceiling: Load
    answered: int = 0
    """By both sides in all rounds, where our own client counted."""

    @property
    def ours_said(self) -> str:
        return said(self.ours)

    @property
    def ceiling_said(self) -> str:
        return said(self.ceiling)


class Bench:
    def __init__(self, options: Options, shops: Shops) -> None:
        self.options = options
        self._shops = shops
        self.client_share = 0.0
        """The most of one processor that the client took in any round."""

    def shop(self, kind: str, products: int = FEW, **settings: str) -> AbstractContextManager[Shop]:
        """A shop that runs; see Shops.open."""
        return self._shops.open(kind, products, **settings)

    def bare(self, shop: Shop, *paths: str) -> AbstractContextManager[Server]:
        """The ceiling of these addresses of a shop; see Shops.bare."""
        return self._shops.bare(shop, *paths)

    def oscar(
        self, kind: str, products: int = FEW, **settings: str
    ) -> AbstractContextManager[Oscar]:
        """A shop of django-oscar that runs; see bench.peers.oscar."""
        return open_oscar(self._shops, kind, products, **settings)

    def load(self, side: Side, seconds: float, connections: int) -> Load:
        """Load a side that has no other to be held against. Raises for failed answers."""
        self.drive(side, 1, connections)
        return self.drive(side, seconds, connections)

    def duel(self, ours: Side, ceiling: Side, connections: int | None = None) -> Duel:
        """Load both sides in turns, each round in another order. Raises for failed answers."""
        sides = (ours, ceiling)
        count = connections or self.options.connections
        # connections, statements and caches are made
        answered = sum(self.drive(side, 1, count).done for side in sides)
        rounds: list[tuple[Load, Load]] = []
        for number in range(self.options.rounds):
            order = (0, 1) if number % 2 else (1, 0)
            loads = {at: self.drive(sides[at], self.options.seconds, count) for at in order}
            answered += sum(load.done for load in loads.values())
            rounds.append((loads[0], loads[1]))
        return Duel(*middle(rounds), answered=answered)

    def drive(self, side: Side, seconds: float, connections: int, *, last_status: int = 0) -> Load:
        """One side, once; see bench.load.drive. Raises for failed answers."""
        load = drive(side.server.port, side.requests, seconds, connections, last_status=last_status)
        if load.failed:
            path, told = side.requests[0].path, side.server.program.tail()
            raise RuntimeError(f"{path} failed {load.failed} times:\n{told}")
        self.client_share = max(self.client_share, load.client_share)
        return load


def middle(rounds: Sequence[tuple[Load, Load]]) -> tuple[float, Load, Load]:
    """The median of the ratios, round by round, and of each side the round in its middle."""
    return (
        median(one.rate / other.rate for one, other in rounds),
        _middle([one for one, _ in rounds]),
        _middle([other for _, other in rounds]),
    )


def _middle(loads: Sequence[Load]) -> Load:
    """The round whose rate is the median."""
    return sorted(loads, key=lambda load: load.rate)[len(loads) // 2]


def said(load: Load) -> str:
    return f"{load.rate:,.0f}/s, p99 {load.p99_ms:,.1f} ms"
