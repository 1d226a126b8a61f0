"""Threads that come when there is work and go when there is none, up to a number of them."""

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger("daraja_simulator")

_LINGER_SECONDS = 1.0

Job = Callable[[], None]


class Crew:
    """A thread more for each job that finds nobody idle; above `most`, jobs queue.

    They are daemons: a shop that never answers must not keep the process from ending.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._count = 0
        self._idle = 0

    def submit(self, job: Job) -> None:
        with self._changed:
            self._jobs.append(job)
            if self._idle < len(self._jobs) and self._count < self._most:
                self._count += 1
                threading.Thread(target=self._work, daemon=True).start()
            else:
                self._changed.notify()

    def _work(self) -> None:
        while (job := self._take()) is not None:
            try:
                job()
            except Exception:
                log.exception("A job of the crew failed")  # the thread must live on

    def _take(self) -> Job | None:
        """The next job, or None when there was none for a while: the thread then ends."""
        with self._changed:
            self._idle += 1
            came = self._changed.wait_for(lambda: bool(self._jobs), _LINGER_SECONDS)
            self._idle -= 1
            if not came:
                self._count -= 1
                return None
            return self._jobs.popleft()
