"""What commands work with: the settings, and the shop without its web server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Config, ConfigError

if TYPE_CHECKING:
    from app.db import Database
    from app.jobs.work import Work
    from app.tracing import Tracing

ENV_FILE = Path(".env")
HOME = Path(__file__).resolve().parents[2]
"""Where manage.py, migrations and .env.example lie. Settings and data are in the current folder."""


def load_config() -> Config:
    """Raises ConfigError, which says where settings come from when there are none."""
    try:
        return Config.load(ENV_FILE)
    except ConfigError as error:
        if ENV_FILE.exists():
            raise
        hint = f"There is no .env in {Path.cwd()}; make one with: python manage.py config init"
        raise ConfigError([*error.faults, hint]) from error


def start_logging(config: Config, level: str = "WARNING") -> None:
    """To standard error, through the gate that takes secrets out."""
    from app.utils.logs import configure_logging

    configure_logging(
        level=level,
        as_json=config.log_format == "json",
        secrets=config.secrets,
    )


@contextmanager
def opened_work(tracing: "Tracing | None" = None) -> Iterator["Work"]:
    """The database and the world outside, as the worker has them."""
    from app.jobs.build import build_work

    config = load_config()
    start_logging(config)
    work = build_work(config, watch_transport=tracing.watch_transport if tracing else None)
    if tracing is not None:
        tracing.watch_database(work.database)
    try:
        yield work
    finally:
        work.database.dispose()


@contextmanager
def opened_database() -> Iterator["Database"]:
    """The database alone: who needs no more is spared the time to load the world outside."""
    from app.jobs.build import build_database

    config = load_config()
    start_logging(config)
    database = build_database(config)
    try:
        yield database
    finally:
        database.dispose()
