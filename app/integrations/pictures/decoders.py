"""Decoding in a process of its own: what a file does to the decoder, it does to that process.

A fresh interpreter each time, not a fork: of our memory, our connections and our environment
nothing goes with it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from app.ports import PictureFault, PictureRefused, PicturesBusy, PictureShape

PROGRAM = Path(__file__).with_name("shrink.py")
MAX_PIXELS = 20_000_000
MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
TIMEOUT_SECONDS = 15
WAITING_SECONDS = 10


class DecoderProcesses:
    """At most ``most_at_once`` of them run; as many callers more wait for a while, and the next
    one is told to come again.
    """

    def __init__(
        self,
        most_at_once: int,
        *,
        memory_bytes: int = MEMORY_BYTES,
        cpu_seconds: int = CPU_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        waiting_seconds: float = WAITING_SECONDS,
    ) -> None:
        self._places = BoundedSemaphore(2 * most_at_once)
        self._running = BoundedSemaphore(most_at_once)
        self._memory_bytes = memory_bytes
        self._cpu_seconds = cpu_seconds
        self._timeout_seconds = timeout_seconds
        self._waiting_seconds = waiting_seconds

    def __call__(self, content: bytes, shape: PictureShape) -> dict[int, bytes]:
        """Raises PictureRefused for the file's own faults, PicturesBusy for ours."""
        wanted = {
            "widths": shape.widths,
            "square": shape.square,
            "max_pixels": MAX_PIXELS,
            "memory_bytes": self._memory_bytes,
            "cpu_seconds": self._cpu_seconds,
        }
        with self._place():
            return _read(self._run(json.dumps(wanted).encode() + b"\n" + content))

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise PicturesBusy("Too many pictures are being read.")
        try:
            if not self._running.acquire(timeout=self._waiting_seconds):
                raise PicturesBusy("The pictures before this one take too long.")
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._places.release()

    def _run(self, given: bytes) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - our own program; the file goes to its input
                [sys.executable, "-I", str(PROGRAM)],
                input=given,
                capture_output=True,
                env={},
                timeout=self._timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PicturesBusy("Reading this picture took too long.") from None
        except OSError as error:
            raise PicturesBusy(f"No decoder could be started: {error}") from error
        # Killed by its limits, or by what was in the file.
        return done.stdout if done.returncode == 0 else b'{"refused": "broken"}\n'


def _read(answered: bytes) -> dict[int, bytes]:
    head, _, rest = answered.partition(b"\n")
    answer: dict[str, Any] = json.loads(head)
    if "refused" in answer:
        raise PictureRefused(PictureFault(answer["refused"]))
    made: dict[int, bytes] = {}
    for width, length in answer["lengths"].items():
        made[int(width)], rest = rest[:length], rest[length:]
    return made
