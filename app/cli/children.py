"""Processes that live and die together: started, watched, started again, stopped.

Each has a process group of its own, so that Ctrl-C reaches the launcher alone and it decides the
order; and each is told by the kernel (on Linux) when the launcher is gone, however it went.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

POLL_SECONDS = 0.05
STOP_SECONDS = 4.0
FIRST_PAUSE_SECONDS = 1.0
RECENT_SECONDS = 60.0
MOST_DEATHS = 5
"""So many within RECENT_SECONDS, and starting it again is no cure."""

_PR_SET_PDEATHSIG = 1


class Stopped(Exception):
    """Somebody asked for the end: SIGINT, SIGTERM or SIGHUP."""


class GaveUp(Exception):
    """A process cannot be kept alive; the message says which and why."""


@dataclass(slots=True)
class Child:
    """One process of the shop, and how often it died lately."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_quiet: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    deaths: list[float] = field(default_factory=list)
    start_again_at: float | None = None

    def start(self) -> None:
        self.start_again_at = None
        self.process = subprocess.Popen(  # noqa: S603 - the commands are ours
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if self.is_quiet else None,
            process_group=0,
            preexec_fn=end_with(os.getpid()),  # noqa: PLW1509 - the launcher has one thread
        )

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill_group(self) -> None:
        """End it and whatever it has started, at once."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # the whole group is gone already
        finally:
            self.process.wait()


class Family:
    """All of them. Used as a context manager: at its end none is left, whatever happened."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._is_stopping = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_all()

    def start(self, child: Child) -> None:
        self._children.append(child)
        child.start()

    def wait_until(self, is_ready: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        """Raises GaveUp when a process dies meanwhile or time is up, Stopped when told to stop."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            self.raise_if_stopping()
            for child in self._children:
                if child.exit_code is not None:
                    raise GaveUp(f"The {child.name} ended {_how(child)} while it started.")
            if time.monotonic() > deadline:
                raise GaveUp(f"The {what} did not answer within {timeout_seconds:g} seconds.")
            time.sleep(POLL_SECONDS)

    def watch(self) -> None:
        """Keep all alive until told to stop. Raises Stopped or GaveUp, never returns."""
        while True:
            self.raise_if_stopping()
            for child in self._children:
                self._look_after(child)
            time.sleep(POLL_SECONDS)

    def raise_if_stopping(self) -> None:
        if self._is_stopping:
            raise Stopped

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.start_again_at is not None:
            if now >= child.start_again_at:
                child.start()
            return
        if child.exit_code is None:
            return
        how = _how(child)
        child.kill_group()  # what it had started must not hold its port
        child.deaths = [death for death in child.deaths if now - death < RECENT_SECONDS] + [now]
        if len(child.deaths) >= MOST_DEATHS:
            raise GaveUp(f"The {child.name} ended {how}, {MOST_DEATHS} times in a minute.")
        pause = FIRST_PAUSE_SECONDS * 2 ** (len(child.deaths) - 1)
        self._say(f"The {child.name} ended {how}; it starts again in {pause:g} s.")
        child.start_again_at = now + pause

    def _note_signal(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _stop_all(self) -> None:
        for child in reversed(self._children):
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(
            child.exit_code is None for child in self._children
        ):
            time.sleep(POLL_SECONDS)
        for child in self._children:
            child.kill_group()


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def environment_with(home: Path) -> dict[str, str]:
    """Ours, in which ``python -m`` finds the programs whatever the current folder is."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{known}" if known else str(home)}


def _how(child: Child) -> str:
    code = child.exit_code
    if code is not None and code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with exit code {code}"


def end_with(launcher: int) -> Callable[[], None] | None:
    """What a child does before it becomes the program: ask to be told when the launcher dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:  # it died before we could ask
            os.kill(os.getpid(), signal.SIGTERM)

    return ask
