"""Starts again whatever dies, as systemd would, and notes who died without having been killed."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drill.processes import Program, wait_until

_POLL_SECONDS = 0.1
_PAUSE_SECONDS = 0.3
_MOST_STARTS = 200
_READY_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Death:
    """Somebody died whom nobody had killed."""

    name: str
    exit_code: int
    last_words: str


class Post:
    """A place that a program fills at all times, one after the other."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        is_ready: Callable[[Program], bool],
        user: str | None = None,
    ) -> None:
        self.name = name
        self.starts = 0
        self.is_held = False
        """While it is, whoever dies there is not replaced."""

        self._killed: Program | None = None
        self._is_recovering = False
        self._command = command
        self._folder = folder
        self._environment = environment
        self._user = user
        self._is_ready = is_ready
        self.program = self.fill()

    def fill(self) -> Program:
        self.starts += 1
        name = f"{self.name}-{self.starts}"
        self.program = Program(
            name, self._command, self._folder, self._environment, user=self._user
        )
        return self.program

    @property
    def is_ready(self) -> bool:
        """Not while one that was told to end still takes leave."""
        return (
            self.program is not self._killed
            and self.program.is_alive()
            and self._is_ready(self.program)
        )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the program by a signal."""
        self._killed = self.program
        with suppress(ProcessLookupError):
            self.program.signal(number)

    def note_death(self) -> bool:
        """Whether it was to be expected: of one that was killed, or of a successor that was not
        ready yet, because what the killed one left behind may keep it from starting.
        """
        if self.program is self._killed:
            self._is_recovering = True
        return self._is_recovering

    def note_life(self) -> None:
        if self._is_recovering and self.is_ready:
            self._is_recovering = False


class Supervisor:
    """Owns the posts. At its end nothing that it started is left."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.deaths: list[Death] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self, post: Post) -> Post:
        with self._lock:
            self.posts.append(post)
        return post

    def wait_until_ready(self, post: Post) -> None:
        """Raises AssertionError with its last words where it does not come up."""
        try:
            wait_until(lambda: post.is_ready, f"the {post.name} is ready", _READY_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{post.program.tail()}") from None

    def retire(self, *posts: Post) -> None:
        """Stop these for good: SIGTERM, and SIGKILL for whoever takes too long."""
        with self._lock:
            self.posts = [post for post in self.posts if post not in posts]
        for post in posts:
            if post.program.is_alive():
                post.program.signal(signal.SIGTERM)
        for post in posts:
            with suppress(Exception):  # too slow: it is cleared away all the same
                post.program.wait(10)
            post.program.clear_away()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.retire(*self.posts)

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            with self._lock:
                for post in self.posts:
                    self._look_after(post)

    def _look_after(self, post: Post) -> None:
        if post.program.is_alive():
            post.note_life()
            return
        if post.is_held:
            return
        code = post.program.wait()
        post.program.clear_away()  # what it had started must not hold its port
        if not post.note_death():
            self.deaths.append(Death(post.program.name, code, post.program.tail()[-1000:]))
        if post.starts < _MOST_STARTS:
            time.sleep(_PAUSE_SECONDS)
            post.fill()
