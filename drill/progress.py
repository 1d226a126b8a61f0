"""How far a drill is: one line that changes on a terminal, plain lines elsewhere."""

import re
import sys
import time

_WIDTH = 30
_LINE_SECONDS = 10.0
_NUMBER = re.compile(r"[\d,]+")


class Progress:
    """Says each stage once, and where it stands now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._what = ""
        self._said_at = 0.0
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, what: str, share: float) -> None:
        if self._is_terminal:
            filled = round(share * _WIDTH)
            bar = "█" * filled + "░" * (_WIDTH - filled)
            print(f"\r{self._name:<10} {bar} {share:4.0%}  {what:<40}", end="", file=sys.stderr)  # noqa: T201 - a command line prints
            sys.stderr.flush()
        elif self._is_new(what) or time.monotonic() - self._said_at > _LINE_SECONDS:
            print(f"{self._name}: {what}, {share:.0%}", file=sys.stderr, flush=True)  # noqa: T201 - a command line prints
            self._said_at = time.monotonic()
        self._what = what

    def _is_new(self, what: str) -> bool:
        """Numbers change all the time."""
        return _NUMBER.sub("", what) != _NUMBER.sub("", self._what)

    def clear(self) -> None:
        if self._is_terminal:
            print("\r" + " " * 100 + "\r", end="", file=sys.stderr, flush=True)  # noqa: T201 - a command line prints
