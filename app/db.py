"""The database session and transaction(): the one place that commits.

SQLite and PostgreSQL run the same code. SQLite needs three things said: that we send BEGIN
ourselves (its driver otherwise reads outside any transaction and loses updates), that a writer
takes the lock at BEGIN (a reader that turns writer fails at once, whatever the busy timeout), and
that foreign keys count.
"""

import os
import select as readiness
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

from app.asking import CONNECTION, Asking

SQLITE_PATIENCE_SECONDS = 10
SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # NORMAL may lose the last commits when the power goes: not with money
    "foreign_keys=ON",
    "cache_size=-512",  # KiB a connection: the kernel keeps the file at hand for all of them
    f"busy_timeout={SQLITE_PATIENCE_SECONDS * 1000}",
)
POSTGRES_OPTIONS = (
    "-c timezone=utc -c statement_timeout=10000 -c lock_timeout=5000"
    # Below lock_timeout: who waits for a row that a vanished machine holds gets it in the end.
    " -c idle_in_transaction_session_timeout=4000"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=10000"
)
POSTGRES_LINE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A line that is cut says nothing. Without these, whoever waits for an answer waits 15 minutes; the
server is told the same by the options, so that what we held is free again in as many seconds.
"""

EXTENSION = "sokoni_database"
OVERFLOW = 5
"""Connections to PostgreSQL that a process may open beyond its pool, for a moment."""

Bell = Callable[[str, int], None]
"""Announces a job's work on one row, and raises nothing."""

_BELLS = "sokoni_bells"

_inside_transaction: ContextVar[bool] = ContextVar("inside_transaction", default=False)
_uses_reserve: ContextVar[bool] = ContextVar("uses_reserve", default=False)


class Database:
    """An engine and the ways to use it: reading() and transaction(), ``asking`` for what each
    request asks, and ``keeping`` for a report that is one row and nothing else.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout_seconds: float = 5,
        reserve: int = 0,
    ) -> None:
        """``reserve``: connections of a pool of its own, for what runs in reserved_connections().

        Whatever holds every connection of the other pool, those are free.
        """
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._engine(pool_size, OVERFLOW, pool_timeout_seconds)
        self.reserve = self._engine(reserve, 0, pool_timeout_seconds) if reserve else None
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._reserved_sessions = (
            self._sessions
            if self.reserve is None
            else sessionmaker(self.reserve, expire_on_commit=False)
        )
        self._asking = Asking(self.engine)
        self.keeping = Asking(self.reserve or self.engine, lasting=True)
        self.bell: Bell | None = None
        self._turn = threading.Lock()

    @property
    def asking(self) -> Asking:
        return self.keeping if _uses_reserve.get() else self._asking

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One unit of work: committed at the end, rolled back by any exception.

        It does not nest, and nothing may go to the network inside one: a writer on SQLite holds
        the whole file, and a row locked on PostgreSQL makes every other buyer wait.
        """
        if _inside_transaction.get():
            raise RuntimeError("transaction() does not nest: pass the session on instead.")
        mark = _inside_transaction.set(True)
        try:
            with self.turn(), self._session() as session:
                session.info[CONNECTION] = session.connection(
                    execution_options={"sqlite_begin": "IMMEDIATE"}
                )
                yield session
                session.commit()
        finally:
            _inside_transaction.reset(mark)
        if self.bell is not None:
            for job, row_id in session.info.get(_BELLS, ()):
                self.bell(job, row_id)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within it no other thread of this process writes to a SQLite file.

        There one writes at a time. SQLite's own way to wait is to look again after a while, and who
        looks first after that goes first: the more wait, the longer nobody does anything.
        """
        if not self.is_sqlite:
            yield
            return
        has_turn = self._turn.acquire(timeout=SQLITE_PATIENCE_SECONDS)
        try:
            yield  # whose patience has ended is told by SQLite itself that it is locked
        finally:
            if has_turn:
                self._turn.release()

    @contextmanager
    def reading(
        self, *, statement_seconds: float | None = None, may_pause: bool = False
    ) -> Iterator[Session]:
        """A session that only reads; what is changed in it is thrown away.

        What was loaded stays readable after it: closing detaches, where a rollback would expire.
        ``statement_seconds`` is how long a statement of it may take, if that is to be less than
        usual; SQLite, whose readers wait for nobody, needs no such limit. ``may_pause`` is for
        whoever reckons with what was read before reading on: nothing waits for a reader, so that
        it may take its time.
        """
        with self._session() as session:
            if statement_seconds is not None:
                self._limit(session, "statement_timeout", f"{int(statement_seconds * 1000)}ms")
            if may_pause:
                self._limit(session, "idle_in_transaction_session_timeout", "0")
            yield session

    def can_be_written(self) -> bool:
        """False for SQLite files that are not ours to write. It writes beside its file as well: a
        read-only folder is a read-only shop.
        """
        if not self.is_sqlite or not self.url.database:
            return True
        file = Path(self.url.database)
        return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)

    def dispose(self) -> None:
        self._asking.close()
        self.keeping.close()
        self.engine.dispose()
        if self.reserve is not None:
            self.reserve.dispose()

    def _limit(self, session: Session, setting: str, value: str) -> None:
        """For this transaction alone."""
        if not self.is_sqlite:
            session.execute(select(func.set_config(setting, value, True)))  # noqa: FBT003 - ends with it

    def _session(self) -> Session:
        return self._reserved_sessions() if _uses_reserve.get() else self._sessions()

    def _engine(self, size: int, overflow: int, timeout_seconds: float) -> Engine:
        if self.is_sqlite and self.url.database in {None, "", ":memory:"}:
            return _sqlite_engine(self.url)  # lives in its one connection
        limits = {"pool_size": size, "max_overflow": overflow, "pool_timeout": timeout_seconds}
        make = _sqlite_engine if self.is_sqlite else _postgres_engine
        return make(self.url, **limits)


def _sqlite_engine(url: URL, **limits: Any) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 10}, **limits)

    @event.listens_for(engine, "connect")
    def _prepare(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None
        for pragma in SQLITE_PRAGMAS:
            dbapi_connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _postgres_engine(url: URL, **limits: Any) -> Engine:
    engine = create_engine(
        url, **limits, connect_args={**POSTGRES_LINE, "options": POSTGRES_OPTIONS}
    )

    @event.listens_for(engine, "checkout")
    def _refuse_lost(dbapi_connection: Any, _record: object, _proxy: object) -> None:
        """The first request after a restart of PostgreSQL must not fail.

        A server that ends says so to every connection, and nothing else is said to an idle one: it
        need not be asked, which would be one more way there and back for each transaction.
        """
        if dbapi_connection.closed or _has_word(dbapi_connection):
            raise InvalidatePoolError

    return engine


def _has_word(dbapi_connection: Any) -> bool:
    """Whether something has come from the server that nobody has read."""
    waiting = readiness.poll()
    waiting.register(dbapi_connection.fileno(), readiness.POLLIN | readiness.POLLPRI)
    return bool(waiting.poll(0))


def ring_after_commit(session: Session, job: str, row_id: int) -> None:
    """Have a job's work on one row announced, once, when ``session``'s transaction has committed.

    Nobody hears it where the database has no bell; a sweep finds the row.
    """
    session.info.setdefault(_BELLS, {})[job, row_id] = None


def in_transaction() -> bool:
    """True while this thread is inside transaction(): no network then."""
    return _inside_transaction.get()


@contextmanager
def reserved_connections() -> Iterator[None]:
    """Within it, a Database that keeps connections in reserve uses those."""
    mark = _uses_reserve.set(True)
    try:
        yield
    finally:
        _uses_reserve.reset(mark)


def current_database() -> Database:
    database: Database = current_app.extensions[EXTENSION]
    return database


@contextmanager
def transaction() -> Iterator[Session]:
    """The current app's Database.transaction()."""
    with current_database().transaction() as session:
        yield session


@contextmanager
def reading(*, may_pause: bool = False) -> Iterator[Session]:
    """The current app's Database.reading()."""
    with current_database().reading(may_pause=may_pause) as session:
        yield session
