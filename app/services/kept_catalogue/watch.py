"""Looking for changes, once for all threads that want to know at the same moment."""

from collections.abc import Callable
from threading import Lock

from app.db import Database
from app.services.kept_catalogue.marks import Changes, Place, read_changes


class _Round:
    """One look, and all who wait for it."""

    __slots__ = ("error", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self.error: Exception | None = None


class Watch:
    """``tell`` hears of every change, in the order of the looks, one at a time."""

    def __init__(self, database: Callable[[], Database], tell: Callable[[Changes], None]) -> None:
        self._database = database
        self._tell = tell
        self._place: Place | None = None
        self._looking = Lock()
        self._next = _Round()

    def look(self) -> None:
        """At the end ``tell`` has heard of all that was committed before the beginning.

        Who comes while a look is under way cannot use it, for it may have missed what they have to
        see: they share the next. Raises what the database raises.
        """
        shared = self._next
        with self._looking:
            if not shared.is_over:
                self._next = _Round()  # who comes from here on waits for that one
                self._lead(shared)
        if shared.error is not None:
            raise shared.error

    def _lead(self, shared: _Round) -> None:
        try:
            changes = read_changes(self._database(), self._place)
            self._tell(changes)
            self._place = changes.place
        except Exception as error:  # noqa: BLE001 - it is raised to each who waits, by look()
            self._place = None
            shared.error = error
        finally:
            shared.is_over = True
