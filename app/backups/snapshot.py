"""One moment of the database, read while others write: nobody waits for it, and it for nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from app.backups.lines import lines_of
from app.backups.tables import Table
from app.db import Database
from app.schema_migrations import migrations_kept_out

_ROWS_AT_ONCE = 2_000
_LEDGER = text("SELECT account, sum(amount_cents) AS cents FROM ledger_entries GROUP BY account")


@contextmanager
def snapshot_of(database: Database) -> Iterator[Connection]:
    """A connection on which every statement sees the same moment.

    No migration runs meanwhile. Raises TimeoutError while one does.
    """
    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # begins it
            yield connection
            connection.rollback()
        return
    with migrations_kept_out(database), database.engine.connect() as opened:
        connection = opened.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {setting} = 0")  # it may take long
        connection.exec_driver_sql("SET LOCAL bytea_output = 'hex'")
        yield connection
        connection.rollback()


def write_rows(connection: Connection, table: Table, write: Callable[[bytes], object]) -> int:
    """Write every row of a table; answers how many there are."""
    copy = _copy_sqlite if connection.dialect.name == "sqlite" else _copy_postgresql
    return copy(connection, table, write)


def last_id_of(connection: Connection, table: Table) -> int | None:
    """The last id that the table ever gave; its row may be gone."""
    if not table.has_ids:
        return None
    if connection.dialect.name == "sqlite":
        known = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    else:
        known = text(
            "SELECT s.last_value FROM pg_sequences AS s"
            " WHERE to_regclass(format('%I.%I', s.schemaname, s.sequencename))"
            " = to_regclass(pg_get_serial_sequence(:name, 'id'))"
        )
    last = connection.execute(known, {"name": table.name}).scalar_one_or_none()
    return int(last) if last is not None else 0


def ledger_of(connection: Connection) -> dict[str, int]:
    """What each account of the books holds, in cents."""
    return {row.account: int(row.cents) for row in connection.execute(_LEDGER)}


def _copy_sqlite(connection: Connection, table: Table, write: Callable[[bytes], object]) -> int:
    rows = _driver_of(connection).execute(_select(connection, table))
    count = 0
    while batch := rows.fetchmany(_ROWS_AT_ONCE):
        write("".join(lines_of(batch, table.columns)).encode())
        count += len(batch)
    return count


def _copy_postgresql(connection: Connection, table: Table, write: Callable[[bytes], object]) -> int:
    count = 0
    statement = f"COPY ({_select(connection, table)}) TO STDOUT"
    with _driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in copy:
            content = bytes(chunk)
            count += content.count(b"\n")  # one inside a value is written as \n
            write(content)
    return count


def _select(connection: Connection, table: Table) -> str:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    order = ", ".join(quote(name) for name in table.key)
    return f"SELECT {columns} FROM {quote(table.name)} ORDER BY {order}"  # noqa: S608 - names of our own tables


def _driver_of(connection: Connection) -> Any:
    return connection.connection.driver_connection
