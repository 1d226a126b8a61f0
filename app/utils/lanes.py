"""Threads by name: work that waits for others, none of which may make the rest wait."""

from collections import Counter
from collections.abc import Callable
from threading import Event, Lock, Thread, current_thread
from time import monotonic


class Lanes:
    """Repeats a step in a lane of its own. A lane has at most a few threads, and only while there
    is something to do in it, so that one that is slow or long stops no other.
    """

    def __init__(self, threads_each: int) -> None:
        self._threads_each = threads_each
        self._lock = Lock()
        self._running: Counter[str] = Counter()
        self._called_again: set[str] = set()
        self._threads: set[Thread] = set()
        self._closing = Event()

    def __call__(self, lane: str, step: Callable[[], bool]) -> None:
        """Repeat ``step`` until it answers False; it reports its own failures.

        In a lane that is full it is begun once more when a thread comes to its end: whoever calls
        has seen something to do, which that thread may have looked for too early.
        """
        with self._lock:
            if self._closing.is_set():
                return
            if self._running[lane] >= self._threads_each:
                self._called_again.add(lane)
                return
            self._running[lane] += 1
            thread = Thread(target=self._run, args=(lane, step), name=f"lane-{lane}", daemon=True)
            self._threads.add(thread)
        thread.start()

    def close(self, seconds: float) -> None:
        """Begin no further step, and wait so long for those that are under way."""
        with self._lock:
            self._closing.set()
            threads = list(self._threads)
        ends_at = monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, ends_at - monotonic()))

    def _run(self, lane: str, step: Callable[[], bool]) -> None:
        try:
            while True:
                while not self._closing.is_set() and step():
                    pass
                if not self._is_called_again(lane):
                    return
        except BaseException:
            with self._lock:
                self._leave(lane)
            raise

    def _is_called_again(self, lane: str) -> bool:
        """In one look: who calls after it finds the lane with a place."""
        with self._lock:
            if lane in self._called_again and not self._closing.is_set():
                self._called_again.discard(lane)
                return True
            self._leave(lane)
            return False

    def _leave(self, lane: str) -> None:
        self._running[lane] -= 1
        self._threads.discard(current_thread())
