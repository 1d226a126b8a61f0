"""What will happen later: one thread that runs jobs when the simulated clock says so."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime

from daraja_simulator.clock import SimulatedClock

log = logging.getLogger("daraja_simulator")

Job = Callable[[], None]


class Timetable:
    """Jobs by their moment. They are quick: whatever meets the network gets its own thread."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._jobs: list[tuple[float, int, Job, str]] = []
        self._numbers = itertools.count()
        self._running = threading.RLock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="timetable", daemon=True)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Forget what is due and end the thread."""
        self._stopped = True
        self.clear()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def clear(self) -> None:
        with self._clock.changed:
            self._jobs.clear()
            self._clock.changed.notify_all()

    def add(self, seconds: float, job: Job, what: str) -> None:
        """Run the job once, so many simulated seconds from now; `what` is for people to read."""
        with self._clock.changed:
            moment = self._clock.seconds() + seconds
            heapq.heappush(self._jobs, (moment, next(self._numbers), job, what))
            self._clock.changed.notify_all()

    def count(self) -> int:
        return len(self._jobs)

    def next(self) -> tuple[datetime, str] | None:
        """When and what the next job is."""
        with self._clock.changed:
            return (self._clock.at(self._jobs[0][0]), self._jobs[0][3]) if self._jobs else None

    def advance(self, seconds: float, between: Job | None = None) -> None:
        """Let time pass at once, stopping at each job on the way so that it sees its own moment.

        When this returns, every job due by then has run. `between` is called after each stop:
        there one may wait for what the jobs set off, before time goes on.
        """
        with self._running:
            target = self._clock.seconds() + seconds
            while (moment := self._next_moment()) is not None and moment <= target:
                self._clock.move_to(moment)
                self._run_due()
                if between is not None:
                    between()
            self._clock.move_to(target)

    def run_due(self) -> None:
        """Run what is due now; when this returns, it has run."""
        with self._running:
            self._run_due()

    def _next_moment(self) -> float | None:
        with self._clock.changed:
            return self._jobs[0][0] if self._jobs else None

    def _take_due(self) -> Job | None:
        with self._clock.changed:
            if self._jobs and self._jobs[0][0] <= self._clock.seconds():
                return heapq.heappop(self._jobs)[2]
            return None

    def _run_due(self) -> None:
        while (job := self._take_due()) is not None:
            try:
                job()
            except Exception:
                log.exception("A job of the timetable failed")  # the others must still run

    def _run(self) -> None:
        while not self._stopped:
            self.run_due()
            with self._clock.changed:
                moment = self._next_moment()
                if not self._stopped and (moment is None or moment > self._clock.seconds()):
                    self._clock.wait_for_change(moment)
