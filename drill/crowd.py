"""Many customers at once, on a few threads: each is a story that tells how long it pauses."""

import heapq
import itertools
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import Any

Steps = Generator[float, None, Any]
"""A story: what it yields is a pause in seconds, after which it goes on."""


class Crowd:
    """Begins stories one after the other, so many side by side, until all are told."""

    def __init__(self, *, threads: int, most_at_once: int) -> None:
        self.begun = 0
        self.told = 0
        """How many are at their end; those that a story began beside itself do not count."""

        self.all_begun_at: float | None = None
        self.broken: list[str] = []
        self._threads = threads
        self._most_at_once = most_at_once
        self._under_way = 0
        self._waiting: list[tuple[float, int, Steps]] = []
        self._order = itertools.count()
        self._counted: set[Steps] = set()
        self._changed = threading.Condition()
        self._to_begin: Iterator[Callable[[], Steps]] = iter(())
        self._all_begun = False
        self._stopped = False

    @property
    def under_way(self) -> int:
        return self._under_way

    def also(self, steps: Steps) -> None:
        """Tell another story beside the one that asks for it, from now on."""
        with self._changed:
            self._under_way += 1
            self._wait(0, steps)

    def run(self, stories: Iterator[Callable[[], Steps]], look: Callable[[], None]) -> None:
        """Return when every story is told; ``look`` is called meanwhile, a few times a second."""
        self._to_begin = stories
        threads = [
            threading.Thread(target=self._work, name=f"customers-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                look()
                time.sleep(0.2)
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    def _work(self) -> None:
        while (steps := self._take()) is not None:
            try:
                pause = next(steps)
            except StopIteration:
                self._finish(steps)
            except Exception:  # noqa: BLE001 - a story that breaks is a finding, and no other's end
                self.broken.append(traceback.format_exc())
                self._finish(steps)
            else:
                with self._changed:
                    self._wait(pause, steps)

    def _take(self) -> Steps | None:
        """A story that is to go on now; None once all are told."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._waiting and self._waiting[0][0] <= now:
                    return heapq.heappop(self._waiting)[2]
                if (steps := self._begin()) is not None:
                    return steps
                if self._all_begun and not self._under_way:
                    return None
                pause = self._waiting[0][0] - now if self._waiting else None
                self._changed.wait(pause)
        return None

    def _begin(self) -> Steps | None:
        if self._all_begun or self._under_way >= self._most_at_once:
            return None
        begin = next(self._to_begin, None)
        if begin is None:
            self._all_begun = True
            self.all_begun_at = time.time()
            return None
        self.begun += 1
        self._under_way += 1
        steps = begin()
        self._counted.add(steps)
        return steps

    def _finish(self, steps: Steps) -> None:
        with self._changed:
            self._under_way -= 1
            if steps in self._counted:
                self._counted.remove(steps)
                self.told += 1
            self._changed.notify_all()

    def _wait(self, pause: float, steps: Steps) -> None:
        heapq.heappush(self._waiting, (time.monotonic() + pause, next(self._order), steps))
        self._changed.notify()
