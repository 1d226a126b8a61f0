"""Counting what the shop asks of its databases, and what PostgreSQL keeps of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from app.asking import Asking
from app.db import Database


@dataclass(slots=True)
class Asked:
    """``commits`` are those that wait for the disk, if anything was written."""

    statements: int = 0
    transactions: int = 0
    commits: int = 0


@contextmanager
def asked_of(database: Database) -> Iterator[Asked]:
    """Within it all is counted that this process asks. Being counted, it is slower."""
    told = Asked()
    with ExitStack() as closing:
        for engine in (database.engine, database.reserve):
            if engine is not None:
                closing.enter_context(_watching(engine, told))
        for asking in (database.asking, database.keeping):
            closing.enter_context(_listening(asking, told, lasting=asking is database.keeping))
        yield told


@contextmanager
def _watching(engine: Engine, told: Asked) -> Iterator[None]:
    def statement(*_: object) -> None:
        told.statements += 1

    def begin(_connection: object) -> None:
        told.transactions += 1

    def commit(_connection: object) -> None:
        told.commits += 1

    heard: dict[str, Callable[..., None]] = {
        "before_cursor_execute": statement,
        "begin": begin,
        "commit": commit,
    }
    for name, listener in heard.items():
        event.listen(engine, name, listener)
    try:
        yield
    finally:
        for name, listener in heard.items():
            event.remove(engine, name, listener)


@contextmanager
def _listening(asking: Asking, told: Asked, *, lasting: bool) -> Iterator[None]:
    ask = asking.rows

    def rows(statement: str, values: Any) -> Any:
        told.statements += 1
        told.commits += lasting and not statement.startswith("SELECT")
        return ask(statement, values)

    asking.rows = rows  # type: ignore[method-assign]
    try:
        yield
    finally:
        asking.rows = ask  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a processor, and bytes of the write-ahead log."""

    shop: float
    postgres: float
    wal_bytes: int


class Meter:
    """What this process and PostgreSQL have used so far."""

    def __init__(self, dsn: str, postgres_seconds: Callable[[], float]) -> None:
        self.dsn = dsn
        self._postgres_seconds = postgres_seconds

    def read(self) -> Spent:
        with psycopg.connect(self.dsn) as connection:
            ((place,),) = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
            )
        return Spent(time.process_time(), self._postgres_seconds(), place)


@dataclass(frozen=True, slots=True)
class Table:
    rows: int
    table_bytes: int
    index_bytes: int


def tables_of(dsn: str) -> dict[str, Table]:
    """Every table, as big as it is now; rows are counted, so that nothing is guessed."""
    sizes = (
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    with psycopg.connect(dsn) as connection:
        return {
            name: Table(_count(connection, name), table_bytes, index_bytes)
            for name, table_bytes, index_bytes in connection.execute(sizes).fetchall()
        }


def _count(connection: psycopg.Connection[Any], name: str) -> int:
    ((rows,),) = connection.execute(f'SELECT count(*) FROM "{name}"')
    return int(rows)
