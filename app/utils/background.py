"""A few threads for what need not keep a caller waiting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

_THREADS = 4
_WAITING = 64


class Background:
    """Runs calls in threads of this process, and refuses one more when too many wait."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="background")
        self._places = BoundedSemaphore(_WAITING)

    def __call__(self, work: Callable[[], None]) -> bool:
        """``work`` reports its own failures; answers False if there is no place for it."""
        if not self._places.acquire(blocking=False):
            return False
        self._pool.submit(work).add_done_callback(lambda _done: self._places.release())
        return True
