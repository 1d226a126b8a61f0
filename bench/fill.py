"""Filling a database with a catalogue, as fast as its driver can.

The search's index is made by triggers, product by product. A million of them would take a quarter
of an hour, so the goods are put in before the migration that makes the index, which fills it in
one go.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice

import psycopg
from sqlalchemy import text

from app import schema_migrations
from app.db import Database
from bench import goods

_BEFORE_THE_INDEX = "0004"
_BATCH = 10_000


def fill(database: Database, products: int) -> None:
    """Bring an empty database to the newest schema, with so many products in it."""
    schema_migrations.upgrade(database, _BEFORE_THE_INDEX)
    for table, columns, rows in (
        ("users", goods.USER_COLUMNS, goods.sellers()),
        ("categories", goods.CATEGORY_COLUMNS, goods.categories()),
        ("products", goods.PRODUCT_COLUMNS, goods.products(products)),
    ):
        put = _put_sqlite if database.is_sqlite else _put_postgresql
        put(database, table, columns, rows)
    schema_migrations.upgrade(database)
    _settle(database)


def _put_postgresql(
    database: Database, table: str, columns: Sequence[str], rows: Iterable[goods.Row]
) -> None:
    copy = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
    with psycopg.connect(plain_dsn(database)) as connection:
        with connection.cursor().copy(copy) as target:
            for row in rows:
                target.write_row(row)
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        )


def _put_sqlite(
    database: Database, table: str, columns: Sequence[str], rows: Iterable[goods.Row]
) -> None:
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
    with closing(sqlite3.connect(str(database.url.database))) as connection:
        for batch in _batches(rows):
            connection.executemany(statement, [_plain(row) for row in batch])
            connection.commit()


def _batches(rows: Iterable[goods.Row]) -> Iterator[list[goods.Row]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _plain(row: goods.Row) -> goods.Row:
    """Moments as SQLAlchemy writes them."""
    return tuple(
        value.strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value
        for value in row
    )


def plain_dsn(database: Database) -> str:
    """What the bare driver takes."""
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _settle(database: Database) -> None:
    """What a database does by itself after a while."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.is_sqlite:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            return
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))
