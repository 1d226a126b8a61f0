"""Which of what is kept makes room for the next."""

from collections import OrderedDict
from collections.abc import Hashable


class UseOrder:
    """What nobody asked for a second time makes way first, once it fills its share.

    Anybody can ask for any number of addresses that nobody else will ask for. In one line by last
    use they would push out the pages that the shop lives of; so they push out each other.
    """

    def __init__(self, share_bytes: int) -> None:
        self._share_bytes = share_bytes
        self._new: OrderedDict[Hashable, None] = OrderedDict()
        self._new_bytes = 0
        self._used: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, key: Hashable, size_bytes: int) -> None:
        self._new[key] = None
        self._new_bytes += size_bytes

    def use(self, key: Hashable, size_bytes: int) -> None:
        if key in self._used:
            self._used.move_to_end(key)
            return
        self.remove(key, size_bytes)
        self._used[key] = None

    def remove(self, key: Hashable, size_bytes: int) -> None:
        if key in self._used:
            del self._used[key]
            return
        del self._new[key]
        self._new_bytes -= size_bytes

    def first_to_go(self) -> Hashable:
        """Never what came last: it was given room for."""
        over_their_share = self._new_bytes > self._share_bytes and len(self._new) > 1
        return next(iter(self._new if over_their_share or not self._used else self._used))
