"""Keeping answers: which, how many, and until when."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock
from typing import Any

from app.db import Database
from app.services.kept_catalogue.marks import Changes
from app.services.kept_catalogue.order import UseOrder
from app.services.kept_catalogue.watch import Watch

_ENTRY_BYTES, _PRODUCT_BYTES = 1000, 150
"""What an answer takes beside its content: itself, and each product in it."""
_PATIENCE_SECONDS = 5.0
_SHARE_OF_THE_NEW = 5


@dataclass(frozen=True, slots=True)
class Kept:
    """Something made of the catalogue.

    ``shows`` are the products whose price, stock or picture stand in it. ``follows_stock``: any
    product's stock may change which products they are.
    """

    content: Any
    size_bytes: int
    shows: frozenset[int] = frozenset()
    follows_stock: bool = False
    key: Hashable = None
    """Under which it is kept; the keeper sets it."""


@dataclass(slots=True)
class KeptCounts:
    """How keeping pays, since the process began. ``dropped`` had changed; ``evicted`` found no
    room any more.
    """

    hits: int = 0
    misses: int = 0
    dropped: int = 0
    evicted: int = 0
    entries: int = 0
    kept_bytes: int = 0


class KeptCatalogue:
    """One for a process. What it keeps was true when it last looked for changes, all of it."""

    def __init__(self, database: Callable[[], Database], most_bytes: int) -> None:
        self.counts = KeptCounts()
        self._most_bytes = most_bytes
        self._watch = Watch(database, self._forget)
        self._lock = Lock()  # of all below
        self._entries: dict[Hashable, Kept] = {}
        self._order = UseOrder(most_bytes // _SHARE_OF_THE_NEW)
        self._showing: dict[int, set[Hashable]] = {}
        self._following_stock: set[Hashable] = set()
        self._building: dict[Hashable, Event] = {}
        self._changes = 0

    def get(self, key: Hashable, build: Callable[[], Kept]) -> Kept:
        """What ``build`` makes of the catalogue as it is now, or made of it before.

        Of many who want the same and find nothing, one builds and the others wait for it. Raises
        what the database raises, and what ``build`` does.
        """
        self._watch.look()
        found = self._find(key)
        if found is not None:
            return found
        with self._turn(key) as is_first:
            if not is_first and (found := self._find(key)) is not None:
                return found
            return self._build(key, build)

    def find(self, key: Hashable) -> Kept | None:
        """What is kept and true now, if anything is. Raises what the database raises.

        For what is not kept, nobody is asked.
        """
        if key not in self._entries:
            return None
        self._watch.look()
        return self._find(key)

    def keep_beside(self, kept: Kept, key: Hashable, content: Any, size_bytes: int) -> None:
        """Keep something that was made of what is ``kept``, if that still is, for as long as it
        would be.
        """
        with self._lock:
            if kept.key is not None and self._entries.get(kept.key) is kept:
                self._keep(replace(kept, content=content, size_bytes=size_bytes, key=key))

    def _find(self, key: Hashable) -> Kept | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._order.use(key, _size(found))
                self.counts.hits += 1
            return found

    def _build(self, key: Hashable, build: Callable[[], Kept]) -> Kept:
        with self._lock:
            self.counts.misses += 1
            before = self._changes
        made = replace(build(), key=key)
        with self._lock:
            # What was told meanwhile may have been about this, and is not told again.
            if self._changes == before:
                self._keep(made)
        return made

    @contextmanager
    def _turn(self, key: Hashable) -> Iterator[bool]:
        """True for the first of many; the others wait until it is done."""
        with self._lock:
            built = self._building.get(key)
            if built is None:
                mine = self._building[key] = Event()
        if built is not None:
            built.wait(_PATIENCE_SECONDS)
            yield False
            return
        try:
            yield True
        finally:
            with self._lock:
                del self._building[key]
            mine.set()

    def _keep(self, made: Kept) -> None:
        if _size(made) > self._most_bytes:
            return
        key = made.key
        self._drop(key)
        self._entries[key] = made
        self._order.add(key, _size(made))
        for product_id in made.shows:
            self._showing.setdefault(product_id, set()).add(key)
        if made.follows_stock:
            self._following_stock.add(key)
        self.counts.kept_bytes += _size(made)
        while self.counts.kept_bytes > self._most_bytes:
            self._drop(self._order.first_to_go())
            self.counts.evicted += 1
        self.counts.entries = len(self._entries)

    def _drop(self, key: Hashable) -> None:
        known = self._entries.pop(key, None)
        if known is None:
            return
        self.counts.kept_bytes -= _size(known)
        self._order.remove(key, _size(known))
        self._following_stock.discard(key)
        for product_id in known.shows:
            showing = self._showing[product_id]
            showing.discard(key)
            if not showing:
                del self._showing[product_id]

    def _forget(self, changes: Changes) -> None:
        """Drop what is no longer true."""
        if not changes.everything and not changes.products:
            return
        with self._lock:
            self._changes += 1
            if changes.everything:
                gone = set(self._entries)
            else:
                gone = set(self._following_stock)
                for product_id in changes.products:
                    gone |= self._showing.get(product_id, set())
            for key in gone:
                self._drop(key)
            self.counts.dropped += len(gone)
            self.counts.entries = len(self._entries)


def _size(kept: Kept) -> int:
    return kept.size_bytes + _ENTRY_BYTES + _PRODUCT_BYTES * len(kept.shows)
