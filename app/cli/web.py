"""The web server."""

import ctypes
import gc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.cli.context import load_config
from app.config import Config
from app.utils import draining  # noqa: F401 - what it shares has to be there before the workers

HEADER_BYTES = 65_536
HEADER_SECONDS = 10
BACKLOG = 1024
"""Connections that the kernel keeps for us while we are busy."""

CONNECTIONS = 512
"""Open connections of one process; more wait in the backlog."""

_M_ARENA_MAX, _HEAPS = -8, 2  # see mallopt(3)
RESPAWN_SECONDS = 1
STOP_SECONDS = 20


@click.command
def command() -> None:
    """Serve the shop until stopped. HOST, PORT, WEB_WORKERS and WEB_THREADS say how."""
    serve(load_config())


def serve(config: Config, application: str = "app.wsgi:application") -> None:
    """Run the web server until it is told to stop, by a signal."""
    from granian.constants import HTTPModes, Interfaces
    from granian.errors import FatalError
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from app.cli.server import Server, leave_when_told, load
    from app.utils.places import threads_for

    _share_heaps()
    _load_once_for_all()
    server = Server(
        application,
        drain_seconds=config.web_drain_seconds,
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        workers=config.web_workers,
        blocking_threads=threads_for(config.web_threads, config.web_queue),
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HEADER_BYTES
        ),
        respawn_failed_workers=True,  # without it, the death of one worker ends the server
        respawn_interval=RESPAWN_SECONDS,
        workers_max_rss=config.web_memory_mb or None,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.error,
    )
    os.register_at_fork(after_in_child=leave_when_told(os.getpid()))
    try:
        with _place_to_count(config):
            server.serve(target_loader=load)
    except FatalError as error:
        raise SystemExit(1) from error


@contextmanager
def _place_to_count(config: Config) -> Iterator[None]:
    """An empty folder in which the processes count; what others counted before is not theirs."""
    if not config.metrics_enabled:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="sokoni-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


def _share_heaps() -> None:
    """Two heaps of C for all threads, where glibc gives each its own, of which much lies idle: a
    worker needs 5 to 10 MB less. They seldom wait for each other, as Python lets one run at a time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)


def _load_once_for_all() -> None:
    """Load the shop's code before the workers are forked: it takes each of them a second, one that
    replaces another as well.

    What is loaded stays. To look through it for garbage, time and again while it grows, takes a
    third of the time; later it would make each worker copy what they share.
    """
    gc.disable()
    import app.composition

    # These are loaded when the shop is put together.
    import app.integrations.files
    import app.jobs.queue  # noqa: F401
    from app.schema_migrations import expected_revision

    expected_revision()
    gc.freeze()
    gc.enable()
