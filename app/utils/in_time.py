"""Answering in time, whatever the answer waits for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from contextvars import copy_context
from threading import BoundedSemaphore
from typing import TypeVar

Answer = TypeVar("Answer")


class InTime:
    """Asks in a thread of its own and waits so long for the answer, then goes on without it.

    A question that nobody waits for any more goes on until it ends by itself, so whatever it asks
    must have a limit too. While all threads are taken, nothing is asked.
    """

    def __init__(self, *, seconds: float, threads: int) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="in_time")
        self._places = BoundedSemaphore(threads)

    def ask(self, question: Callable[[], Answer], otherwise: Answer) -> Answer:
        """The answer if it comes in time, else ``otherwise``. What the question raises is raised
        here, unless it comes too late.
        """
        if not self._places.acquire(blocking=False):
            return otherwise
        asked = self._pool.submit(copy_context().run, question)
        asked.add_done_callback(lambda _done: self._places.release())
        try:
            return asked.result(self._seconds)
        except NotInTime:
            return otherwise
