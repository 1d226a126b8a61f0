"""Granian, made to stop when it is told to.

On SIGTERM: /readyz says no; after WEB_DRAIN_SECONDS the port is closed; requests in flight are
finished; the processes end. A second signal cuts the draining short.
"""

import importlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from granian.server import MPServer

from app.cli.children import end_with
from app.utils.draining import begin_draining

_NUDGE_SECONDS = 0.2
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})


class Server(MPServer):
    """Waits before it stops, and then does stop."""

    def __init__(self, target: str, *, drain_seconds: float, **options: Any) -> None:
        super().__init__(target, **options)
        self._drain_seconds = drain_seconds
        self._cut_short = threading.Event()
        self._has_heard = threading.Event()
        self._is_told = False

    def signal_handler_interrupt(self, *_args: Any, **_kwargs: Any) -> None:
        if self._is_told:
            self._cut_short.set()
            return
        self._is_told = True
        begin_draining()
        threading.Thread(target=self._stop, daemon=True).start()

    def _stop(self) -> None:
        """Granian clears its event when it replaces a worker; what it was told just then is lost.
        So it is told until it is gone.
        """
        self._cut_short.wait(self._drain_seconds)
        self.interrupt_signal = True
        self.main_loop_interrupt.set()
        while not self._has_heard.wait(_NUDGE_SECONDS):
            self.main_loop_interrupt.set()

    def shutdown(self, exit_code: int = 0) -> None:
        self._has_heard.set()
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]


def load(target: str) -> Callable[..., Any]:
    """What each worker does to get its application, in its main thread."""
    _wake_for_signals()
    module, _, name = target.partition(":")
    application: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return application


def leave_when_told(server: int) -> Callable[[], None]:
    """What each worker does first, so that it can be stopped at any moment.

    While it loads the shop it still has its parent's handler, which would swallow a SIGTERM. And
    orphans would keep the port, and answer with old code, should the parent be killed.
    """
    ask = end_with(server)

    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if ask is not None:
            ask()

    return prepare


def _wake_for_signals() -> None:
    """Make sure that the main thread, which does nothing but wait, hears of a signal.

    The kernel gives a process's signal to any of its threads: on a busy machine often to one that
    is just being born. Python notes it there, and runs the handler in the main thread once that
    wakes up, which nothing makes it do. So a thread reads what is noted and wakes it.
    """
    noted, note = os.pipe()
    os.set_blocking(note, False)
    signal.signal(signal.SIGURG, lambda *_: None)  # it only has to interrupt
    signal.set_wakeup_fd(note, warn_on_full_buffer=False)
    main = threading.main_thread().ident

    def wake() -> None:
        while numbers := os.read(noted, 64):
            if main is not None and _STOPPING.intersection(numbers):
                signal.pthread_kill(main, signal.SIGURG)

    threading.Thread(target=wake, name="signals", daemon=True).start()
