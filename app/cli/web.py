"""The web server."""

import gc
import os
import signal
from collections.abc import Callable

import click

from app.cli.children import end_with
from app.cli.context import load_config
from app.config import Config

HEADER_BYTES = 65_536
HEADER_SECONDS = 10
RESPAWN_SECONDS = 1
STOP_SECONDS = 20


@click.command
def command() -> None:
    """Serve the shop until stopped. HOST, PORT, WEB_WORKERS and WEB_THREADS say how."""
    serve(load_config())


def serve(config: Config, application: str = "app.wsgi:application") -> None:
    """Run the web server until it is told to stop, by a signal."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.errors import FatalError
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    if config.web_workers > 1:
        _load_once_for_all()
    server = Granian(
        application,
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        workers=config.web_workers,
        blocking_threads=config.web_threads,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HEADER_BYTES
        ),
        respawn_failed_workers=True,  # without it, the death of one worker ends the server
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.error,
    )
    os.register_at_fork(after_in_child=_leave_when_told(os.getpid()))
    try:
        server.serve()
    except FatalError as error:
        raise SystemExit(1) from error


def _load_once_for_all() -> None:
    """Load the shop's code before the workers are forked: it takes each of them a second or two.

    What stands is frozen, so that collecting garbage does not make each worker copy it.
    """
    import app.composition  # noqa: F401

    gc.collect()
    gc.freeze()


def _leave_when_told(server: int) -> Callable[[], None]:
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
