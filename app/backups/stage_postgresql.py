"""On PostgreSQL the new shop is made in a schema of its own, and moved in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.backups.archive import copy_stream
from app.backups.manifest import TablePart
from app.backups.stage import StageRefused
from app.backups.workers import open_keeper, who_is_at_work
from app.utils.failpoints import failpoint

_STAGE = "sokoni_restoring"

# What belongs to an extension stays with it; a column's own sequence goes with its table.
_TABLES = text(
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm', 'S')"
    " AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass"
    " AND d.objid = c.oid AND d.deptype IN ('a', 'e', 'i')) ORDER BY c.oid"
)
_ROUTINES = text(
    "SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))"
    " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
    " WHERE n.nspname = :schema AND NOT EXISTS (SELECT 1 FROM pg_depend AS d"
    " WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
    " ORDER BY p.oid"
)


class PostgresStage:
    def __init__(self, url: str) -> None:
        self._url = url
        self._home = open_keeper(url)
        self.database = open_keeper(url, schema=_STAGE)

    @contextmanager
    def opened(self) -> Iterator[None]:
        try:
            with self._home.engine.begin() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_STAGE} CASCADE")
                connection.exec_driver_sql(f"CREATE SCHEMA {_STAGE}")
        except ProgrammingError as error:
            raise StageRefused(
                f"PostgreSQL lets nobody make a schema here ({_reason(error)}). As its"
                " administrator: GRANT CREATE ON DATABASE … TO … (the shop's user)."
            ) from error
        try:
            yield
        finally:
            self.database.dispose()
            with self._home.engine.begin() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_STAGE} CASCADE")
            self._home.dispose()

    def load(self, table: TablePart, rows: IO[bytes]) -> None:
        with self.database.engine.begin() as connection:
            quote = connection.dialect.identifier_preparer.quote
            columns = ", ".join(quote(column.name) for column in table.columns)
            statement = f"COPY {quote(table.name)} ({columns}) FROM STDIN"
            driver = connection.connection.driver_connection
            if driver is None:
                raise RuntimeError("The database connection is closed.")
            with driver.cursor() as cursor, cursor.copy(statement) as copy:
                copy_stream(rows, copy.write)

    def finish_loading(self, tables: tuple[TablePart, ...], *, room: int) -> None:
        with self.database.engine.begin() as connection:
            for table in tables:
                if table.last_id is not None:
                    connection.execute(
                        text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"),
                        {"name": table.name, "last": max(table.last_id + room, 1)},
                    )
                connection.exec_driver_sql(
                    f"ANALYZE {connection.dialect.identifier_preparer.quote(table.name)}"
                )

    def take_over(self, now: datetime, *, keep_old: bool, force: bool) -> str | None:
        self.database.dispose()
        kept = f"sokoni_before_{now.astimezone(UTC):%Y%m%dt%H%M%S}"
        try:
            with self._home.engine.begin() as connection:
                home = connection.execute(text("SELECT current_schema()")).scalar_one()
                connection.exec_driver_sql(f"CREATE SCHEMA {kept}")
                _move_all(connection, home, kept)
                failpoint("half_of_the_places_changed")
                _move_all(connection, _STAGE, home)
                if not keep_old:
                    connection.exec_driver_sql(f"DROP SCHEMA {kept} CASCADE")
                if not force and (at_work := who_is_at_work(self._url)):
                    raise StageRefused(f"Somebody began to use the shop: {'; '.join(at_work)}.")
        except (OperationalError, ProgrammingError) as error:
            raise StageRefused(f"The shop cannot be put aside ({_reason(error)}).") from error
        return f"schema {kept}" if keep_old else None


def _move_all(connection: Connection, source: str, target: str) -> None:
    """Indexes, triggers, constraints and sequences go with their tables."""
    for name in connection.execute(_TABLES, {"schema": source}).scalars().all():
        connection.exec_driver_sql(f"ALTER TABLE {name} SET SCHEMA {target}")
    for name in connection.execute(_ROUTINES, {"schema": source}).scalars().all():
        connection.exec_driver_sql(f"ALTER ROUTINE {name} SET SCHEMA {target}")


def _reason(error: OperationalError | ProgrammingError) -> str:
    return str(error.orig).strip().partition("\n")[0]
