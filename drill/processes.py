"""Programs as real processes: started, watched, killed, and always cleared away."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 45.0
_FIRST_POLL_SECONDS, _LAST_POLL_SECONDS = 0.02, 0.25
_TAIL_CHARACTERS = 6000


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of ``condition``; AssertionError when none came in time."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_POLL_SECONDS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:g} s in vain until {what}.")
        time.sleep(pause)
        pause = min(pause * 1.3, _LAST_POLL_SECONDS)  # who is waited for needs the processor
    return value


def end_as_by_hand() -> None:
    """From now on a signal does what Ctrl-C does: every process that was started is ended first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


class Program:
    """One process with a session of its own, so that nothing it starts is left behind."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._log = self.log_file.open("ab")
        self.process = subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(seconds)

    def stop(self, seconds: float = PATIENCE_SECONDS) -> int:
        """As a supervisor stops it: SIGTERM, and time to finish."""
        self.process.terminate()
        code = self.wait(seconds)
        self.clear_away()
        return code

    def kill(self) -> None:
        """Kill -9 it with everything it started, as a machine without power would."""
        self.clear_away()

    def clear_away(self) -> None:
        with suppress(ProcessLookupError):  # the whole group may be gone already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def log(self) -> str:
        return self.log_file.read_text("utf-8", errors="replace")

    def tail(self) -> str:
        return self.log()[-_TAIL_CHARACTERS:]


def children_of(pid: int) -> list[int]:
    """The processes that this one started and that live."""
    listing = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(number) for number in listing.split()]


def age_of(pid: int) -> float:
    """For how many seconds a process has lived. Raises FileNotFoundError where it is gone."""
    after_name = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    ticks_since_boot = int(after_name[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks_since_boot / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
