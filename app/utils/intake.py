"""Storing what Safaricom reports goes before reading it.

A report that is not stored may never come again; one that is can be read at any time. So whoever
reads them in the web process waits for a pause in which none is being stored. The wait is short and
has an end: it costs a payment nothing that anybody would notice.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE_SECONDS = 0.005
_LONGEST_WAIT_SECONDS = 0.25

_lock = threading.Lock()
_looking_out = threading.Lock()
_inside = 0
_left_at = 0.0


@contextmanager
def taking_in() -> Iterator[None]:
    """Within it a report is being stored."""
    global _inside, _left_at  # noqa: PLW0603 - one count a process
    with _lock:
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            _left_at = time.monotonic()


def wait_for_a_pause() -> None:
    """One looks out for it at a time; the others wait for their turn to do so."""
    with _looking_out:
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while (now := time.monotonic()) < deadline and (_inside or now - _left_at < _PAUSE_SECONDS):
            time.sleep(_PAUSE_SECONDS)
