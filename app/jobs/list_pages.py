"""A list that is asked for page by page, while rows may come into it and leave it.

Safaricom says how many rows to skip and nothing of their order. What moves a list backwards, old
rows that fall out of it at its beginning, would let the next page skip others. So each page is
asked for from the last row on that was taken, and shows it again: a list that does not has moved.
Rows that come later into it move it forwards, and are read twice at most.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.ports import GatewayError, PulledRow, PullPage
from app.services.statements import BEGINNING, Place

MOST_PAGES = 2_000
MOST_BEGINNINGS = 3

AskForPage = Callable[[int], PullPage]


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of the list that were not taken yet, and the place behind them.

    One ``is_anew`` has none: the list has moved, and is read from its beginning again.
    """

    rows: tuple[PulledRow, ...] = ()
    unreadable: int = 0
    place: Place = BEGINNING
    is_anew: bool = False


@dataclass(slots=True)
class ListPages:
    """The pieces of a list from a place on, until a page shows nothing behind it.

    The same page for three offsets is that of a list without pages. Raises GatewayError, also for
    a list without an end, and for one that moves whenever it is looked at.
    """

    ask: AskForPage
    place: Place
    back: int = 1
    beginnings: int = 0
    before: PullPage | None = None
    repeats: int = 0

    def __iter__(self) -> Iterator[Piece]:
        for _ in range(MOST_PAGES):
            offset = self._offset()
            page = self.ask(offset)
            receipts = [row.receipt for row in page.rows]
            if self.place.receipt is not None and self.place.receipt not in receipts:
                if not self._look_further_back(page):
                    yield Piece(is_anew=True)
                continue
            is_the_same = page == self.before and self.back == 1
            self.repeats = self.repeats + 1 if is_the_same else 0
            piece = self._cut(page, receipts, offset)
            is_news = bool(piece.rows or piece.unreadable) and not self.repeats
            if self.repeats > 1 or (not is_news and page.length <= 1 and not self.repeats):
                return
            self.place, self.before, self.back = piece.place, page, 1
            if is_news:
                yield piece
        raise GatewayError("The list has no end.", certain=True)

    def _offset(self) -> int:
        if self.place.receipt is None:
            return self.place.rows
        return max(0, self.place.rows - self.back)

    def _cut(self, page: PullPage, receipts: list[str], offset: int) -> Piece:
        """What of a page is new. Its last row marks the place where one can be sure of both: that
        it is the last one, and that a page has room for more than that row.
        """
        taken = 0 if self.place.receipt is None else receipts.index(self.place.receipt) + 1
        is_sure = not page.unreadable and page.length > 1
        place = Place(offset + page.length, receipts[-1] if is_sure else None)
        return Piece(page.rows[taken:], page.unreadable, place)

    def _look_further_back(self, page: PullPage) -> bool:
        """The row that was taken last is not where it was: by a page before that, if it moved a
        little; else the list begins anew.
        """
        self.repeats = 0
        length = max(page.length, self.before.length if self.before is not None else 0)
        if self.back == 1 and length > 1:
            self.back = length
            return True
        self.beginnings += 1
        if self.beginnings > MOST_BEGINNINGS:
            raise GatewayError("The list changes while it is read.", certain=True)
        self.place, self.before, self.back = BEGINNING, None, 1
        return False
