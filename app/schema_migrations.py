"""Bringing the database to the shape that the code expects, with Alembic."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import structlog
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, String, column, inspect, select, table
from sqlalchemy.exc import OperationalError

from app.db import Database
from app.models import Base

log = structlog.get_logger()
logging.getLogger("alembic").setLevel(logging.WARNING)  # it greets at every look

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
_VERSION = table("alembic_version", column("version_num", String))
_LOCK_NOT_AVAILABLE = "55P03"
_TRIES = 300
_PAUSE_SECONDS = 2.0
_ADVISORY_LOCK = 7_046_625  # any constant: two starting processes migrate one after the other


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database there, one migration after the other, each in a transaction of its own.

    On PostgreSQL a statement that waits for a lock makes all that come later wait behind it, the
    readers too. So it gives up after a second, lets them pass, and tries again: for a quarter of
    an hour, then the OperationalError is raised, and what was done stays done.
    """
    for _ in range(_TRIES):
        try:
            with _alembic(database) as config:
                command.upgrade(config, revision)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            log.warning("migration_waits_for_a_lock", error=str(error.orig)[:200])
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    raise TimeoutError("A migration found no moment without a lock in its way; try it again later.")


def downgrade(database: Database, revision: str) -> None:
    with _alembic(database) as config:
        command.downgrade(config, revision)


def make_revision(database: Database, message: str) -> None:
    """Write a new migration from what the models say beyond the database."""
    with _alembic(database) as config, _blind_to_expressions():
        command.revision(config, message=message, autogenerate=True)


def current_revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """At which revision the database is, as this connection sees it.

    Alembic's own look makes its statement anew each time, and each stays in the engine's cache of
    compiled statements: 20 MB of them, in the place of those that are used.
    """
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(select(_VERSION.c.version_num)).scalar_one_or_none()


def head_revision() -> str | None:
    return _scripts().get_current_head()


def is_known(revision: str) -> bool:
    """Whether this code has the migration; a newer code's database is at one that it has not."""
    return any(script.revision == revision for script in _scripts().walk_revisions())


@cache
def expected_revision() -> str | None:
    """What the code of this process was shipped with, read once: to read all migrations takes a
    tenth of a second, and load balancers ask whether we are ready all day.
    """
    return head_revision()


def is_current(database: Database) -> bool:
    return current_revision(database) == expected_revision()


def differences(database: Database) -> list[str]:
    """What the models say and the migrations do not, one line each."""
    with database.engine.connect() as connection, _blind_to_expressions():
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": is_in_models}
        )
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


@contextmanager
def _blind_to_expressions() -> Iterator[None]:
    """An index of an expression cannot be read back from SQLite, and each try is told of."""
    with warnings.catch_warnings():
        for said in (
            "Skipped unsupported reflection of",
            "autogenerate skipping metadata-specified",
        ):
            warnings.filterwarnings("ignore", f"{said} expression-based index")
        yield


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER))


def is_in_models(name: str | None, kind: str, _parents: object) -> bool:
    """The tables of the search, and the catalogue's marks, belong to triggers: no model describes
    them.
    """
    of_triggers = ("search_", "catalogue_")
    return not (kind == "table" and name is not None and name.startswith(of_triggers))


@contextmanager
def migrations_kept_out(database: Database) -> Iterator[None]:
    """PostgreSQL: no migration begins meanwhile; those that want to wait their turn, and keep no
    reader waiting by it. Raises TimeoutError while one is under way.
    """
    with database.engine.connect() as connection:
        taken = connection.exec_driver_sql(
            f"SELECT pg_try_advisory_lock_shared({_ADVISORY_LOCK})"
        ).scalar_one()
        connection.commit()
        if not taken:
            raise TimeoutError("A migration is under way; try it again when it is done.")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock_shared({_ADVISORY_LOCK})")
            connection.commit()


@contextmanager
def _alembic(database: Database) -> Iterator[AlembicConfig]:
    with database.engine.connect() as connection:
        config = AlembicConfig()
        config.set_main_option("script_location", str(FOLDER))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        if database.is_sqlite:
            # It reads before it writes: beside a shop that runs, a reader cannot turn writer.
            connection.execution_options(sqlite_begin="IMMEDIATE")
            with _foreign_keys_off(connection):
                yield config
                connection.commit()
        else:
            connection.exec_driver_sql("SET lock_timeout = '60s'")  # to wait for another's upgrade
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})")
            connection.exec_driver_sql("SET lock_timeout = '1s'")
            connection.commit()
            try:
                yield config
                connection.commit()
            finally:
                connection.rollback()
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})")
                connection.commit()
                connection.invalidate()  # its timeouts were ours alone


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by making it anew; with foreign keys on, the DROP in the middle
    deletes the rows that refer to it. The switch does nothing inside a transaction, so it is
    thrown before, and what was broken meanwhile is looked for after.
    """
    raw = connection.connection.dbapi_connection
    if raw is None:
        raise RuntimeError("The database connection is closed.")
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
        broken = raw.execute("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise RuntimeError(f"The migration left rows without what they refer to: {broken[:5]}")
    finally:
        raw.execute("PRAGMA foreign_keys=ON")
