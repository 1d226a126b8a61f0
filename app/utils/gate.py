"""How many requests a process works on at once, and what becomes of those beyond.

A server that takes all that comes answers everybody late: past its capacity each second adds to
the queue, until nobody gets an answer that they still wait for. So a process works on a bounded
number of requests; a few more may wait, for a short while; the rest are sent away at once with a
503 and Retry-After, before anything has been done for them. Readers are sent away first: what they
ask for can be asked for again, and nothing was lost. But one place is theirs alone, so that nobody
stands before a closed shop because many are paying.

What Safaricom reports, and what a load balancer asks, is never sent away. Reports have places and
database connections of their own, so that neither customers nor strangers can take them.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Any, Protocol

import structlog
from structlog.contextvars import clear_contextvars

from app.utils.http import (
    API_POLICY,
    PAGE_POLICY,
    REQUEST_ID_HEADER,
    id_of_request,
    is_for_programs,
)
from app.utils.intake import taking_in
from app.utils.limiter import CALLBACK_PATHS
from app.utils.places import ASIDE_PLACES, INTAKE_PLACES

RETRY_SECONDS = 2
_NEVER_SENT_AWAY = frozenset({"/healthz", "/readyz", "/metrics"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LOG_EVERY_SECONDS = 5.0
_HTML = "text/html; charset=utf-8"

log = structlog.get_logger("sokoni.gate")
StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Rank(Enum):
    """Who is sent away before whom."""

    READER = "reader"
    WRITER = "writer"
    REPORT = "report"
    PROBE = "probe"


class Watcher(Protocol):
    """Is told what happens at the gate; it counts for the metrics."""

    def entered(self) -> None: ...

    def left(self) -> None: ...

    def lines_up(self) -> None: ...

    def leaves_line(self) -> None: ...

    def sent_away(self, rank: Rank) -> None: ...


class NoWatcher:
    """For a shop that nobody measures."""

    def entered(self) -> None: ...

    def left(self) -> None: ...

    def lines_up(self) -> None: ...

    def leaves_line(self) -> None: ...

    def sent_away(self, rank: Rank) -> None: ...


@dataclass(slots=True, eq=False)
class _Turn:
    """One request that waits."""

    bell: threading.Lock = field(default_factory=threading.Lock)
    is_called: bool = False

    def __post_init__(self) -> None:
        self.bell.acquire()


class Gate:
    """The places of one process, and the two lines before them: writers go first.

    Of several places, writers leave one to the readers.
    """

    def __init__(self, places: int, queue: int, longest_wait_seconds: float) -> None:
        """``queue`` is how many may wait in all; readers may while half of it is free."""
        self.places = places
        self.queue = queue
        self.longest_wait_seconds = longest_wait_seconds
        self.watcher: Watcher = NoWatcher()
        self._lock = threading.Lock()
        self._places_of_writers = max(1, places - 1)
        self._busy = 0
        self._writing = 0
        self._aside = 0
        self._writers: deque[_Turn] = deque()
        self._readers: deque[_Turn] = deque()

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def waiting(self) -> int:
        return len(self._writers) + len(self._readers)

    @property
    def aside(self) -> int:
        return self._aside

    def enter(self, rank: Rank) -> bool:
        """Take a place, waiting for one if need be. False: the request is to be sent away."""
        line = self._readers if rank is Rank.READER else self._writers
        room = self.queue // 2 if rank is Rank.READER else self.queue
        with self._lock:
            if self._has_room(rank):
                self._take(rank)
                return True
            if self.waiting >= room:
                return False
            turn = _Turn()
            line.append(turn)
        self.watcher.lines_up()
        try:
            return self._is_called_in_time(turn, line)
        finally:
            self.watcher.leaves_line()

    def _is_called_in_time(self, turn: _Turn, line: deque[_Turn]) -> bool:
        if turn.bell.acquire(timeout=self.longest_wait_seconds):
            return True
        with self._lock:
            if turn.is_called:  # at the last moment
                return True
            line.remove(turn)
            return False

    def leave(self, rank: Rank) -> None:
        with self._lock:
            self._give_up(rank)
            self._call_next()

    def step_aside(self, rank: Rank) -> bool:
        """Give the place to another for a while. False where too many have done so already."""
        with self._lock:
            if self._aside >= ASIDE_PLACES:
                return False
            self._aside += 1
            self._give_up(rank)
            self._call_next()
            return True

    def step_back(self, rank: Rank) -> None:
        """Go on, with a place or, for once, beyond them: what was begun is not sent away."""
        with self._lock:
            self._aside -= 1
            self._take(rank)

    def _has_room(self, rank: Rank) -> bool:
        is_their_turn = rank is Rank.READER or self._writing < self._places_of_writers
        return is_their_turn and self._busy < self.places

    def _take(self, rank: Rank) -> None:
        self._busy += 1
        self._writing += rank is not Rank.READER

    def _give_up(self, rank: Rank) -> None:
        self._busy -= 1
        self._writing -= rank is not Rank.READER

    def _call_next(self) -> None:
        for rank, line in ((Rank.WRITER, self._writers), (Rank.READER, self._readers)):
            if line and self._has_room(rank):
                turn = line.popleft()
                turn.is_called = True
                self._take(rank)
                turn.bell.release()
                return


_place_of_this_request: ContextVar[tuple[Gate, Rank] | None] = ContextVar("place", default=None)


@contextmanager
def aside() -> Iterator[None]:
    """While this request waits for somebody outside, another may have its place.

    To be used where no database connection is held.
    """
    place = _place_of_this_request.get()
    if place is None:
        yield
        return
    gate, rank = place
    if not gate.step_aside(rank):
        yield
        return
    try:
        yield
    finally:
        gate.step_back(rank)


def rank_of(method: str, path: str) -> Rank:
    if path in _NEVER_SENT_AWAY:
        return Rank.PROBE
    if method == "POST" and CALLBACK_PATHS.match(path):
        return Rank.REPORT
    return Rank.READER if method in _READING else Rank.WRITER


@dataclass(frozen=True, slots=True)
class Refusals:
    """What those who are sent away are told, made beforehand."""

    problem: Callable[[str], bytes]
    page: Callable[[str], bytes]
    language_of: Callable[[dict[str, Any]], str]
    https_header: str | None


class Doorkeeper:
    """The gate as WSGI, around everything else."""

    def __init__(
        self,
        app: WsgiApp,
        gate: Gate,
        refusals: Refusals,
        reserved: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """``reserved``: within it, the database is reached by connections kept for reports."""
        self.gate = gate
        self._app = app
        self._refusals = refusals
        self._reserved = reserved
        self._intake = threading.BoundedSemaphore(INTAKE_PLACES)
        self._sent_away = 0
        self._log_at = 0.0

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        rank = rank_of(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
        if rank is Rank.PROBE:
            return self._app(environ, start_response)
        if rank is Rank.REPORT:
            with taking_in(), self._intake, self._reserved():
                return self._app(environ, start_response)
        gate = self.gate
        if not gate.enter(rank):
            return self._send_away(rank, environ, start_response)
        gate.watcher.entered()
        mark = _place_of_this_request.set((gate, rank))
        try:
            return self._app(environ, start_response)
        finally:
            _place_of_this_request.reset(mark)
            gate.watcher.left()
            gate.leave(rank)

    def _send_away(
        self, rank: Rank, environ: dict[str, Any], start_response: StartResponse
    ) -> list[bytes]:
        self.gate.watcher.sent_away(rank)
        self._note()
        request_id = id_of_request(environ)
        for_programs = is_for_programs(environ.get("PATH_INFO", ""))
        refusals = self._refusals
        body = (
            refusals.problem(request_id)
            if for_programs
            else refusals.page(refusals.language_of(environ))
        )
        headers = [
            ("Content-Type", "application/problem+json" if for_programs else _HTML),
            ("Content-Length", str(len(body))),
            ("Retry-After", str(RETRY_SECONDS)),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", API_POLICY if for_programs else PAGE_POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("X-Frame-Options", "DENY"),
            (REQUEST_ID_HEADER, request_id),
        ]
        if refusals.https_header is not None:
            headers.append(("Strict-Transport-Security", refusals.https_header))
        start_response("503 SERVICE UNAVAILABLE", headers)
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else [b""]

    def _note(self) -> None:
        """One line in a while: a line for each would cost more than the answer."""
        self._sent_away += 1
        now = monotonic()
        if now < self._log_at:
            return
        self._log_at = now + _LOG_EVERY_SECONDS
        count, self._sent_away = self._sent_away, 0
        clear_contextvars()
        log.warning("overloaded", sent_away=count, busy=self.gate.busy, waiting=self.gate.waiting)
