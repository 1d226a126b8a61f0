"""Who uses the shop's database right now, as far as it shows: processes that have it open."""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from app.db import Database

OURS = f"sokoni-keeper-{os.getpid()}"
"""By this name PostgreSQL knows the connections of a backup or a restore from all others."""

_OTHERS = text(
    "SELECT application_name AS name, host(client_addr) AS host, count(*) AS connections"
    " FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND application_name <> :ours"
    " GROUP BY 1, 2 ORDER BY 1, 2"
)


def open_keeper(url: str, *, schema: str | None = None) -> Database:
    """The database for a backup or a restore: its connections bear a name, on PostgreSQL, and its
    statements may take as long as they need. With ``schema`` all names are looked for in that.
    """
    database = Database(url)
    if not database.is_sqlite:
        settings = [
            f"SET application_name = '{OURS}'",
            "SET statement_timeout = 0",
            "SET idle_in_transaction_session_timeout = 0",  # while we write to a slow disk
        ]
        if schema is not None:
            settings.append(f"SET search_path = {schema}")

        # before SQLAlchemy asks which schema is the first
        @event.listens_for(database.engine, "connect", insert=True)
        def _prepare(connection: Any, _record: object) -> None:
            for setting in settings:
                connection.execute(setting)
            connection.commit()

    return database


def who_is_at_work(url: str) -> tuple[str, ...]:
    """A few words for each; an empty tuple where nobody shows.

    On SQLite no other connection of this process may be open, or it is taken for another's.
    """
    if make_url(url).get_backend_name() == "sqlite":
        return _who_has_the_file(Path(make_url(url).database or ""))
    database = open_keeper(url)
    with database.engine.connect() as connection:
        others = connection.execute(_OTHERS, {"ours": OURS}).all()
    database.dispose()
    return tuple(
        f"{row.connections} connections from {row.host or 'this machine'}"
        + (f" ({row.name})" if row.name else "")
        for row in others
    )


def _who_has_the_file(file: Path) -> tuple[str, ...]:
    """SQLite leaves its write-ahead log only while nobody else has the file open."""
    if not file.exists():
        return ()
    connection = sqlite3.connect(file, timeout=0)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return (f"another process has {file} open",)
    finally:
        connection.close()
    return ()
