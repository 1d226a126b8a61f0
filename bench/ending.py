"""How a bench ends that is told to."""

import signal
import sys


def end_as_by_hand() -> None:
    """From now on a signal does what Ctrl-C does: every process that was started is ended first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(_number: int, _frame: object) -> None:
    sys.exit(1)
