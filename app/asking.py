"""Speaking to the database by the shortest way: statements compiled once, in the driver's words.

SQLAlchemy takes three times as long over a page of products as the driver does, and ten times as
long over an order; a transaction around one statement means three further words to the server.
What is read and written most is read and written so.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Delete,
    Dialect,
    Engine,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    insert,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.types import TypeEngine

CONNECTION = "sokoni_connection"
"""Where a session that lives for one transaction keeps its connection at hand."""

_WITHOUT_WAITING = {
    "sqlite": "PRAGMA synchronous = NORMAL",
    "postgresql": "SET synchronous_commit TO off",
}

Row = tuple[Any, ...]
Known = TypeVar("Known")


class Asking:
    """Connections of their own, outside transactions: one for each thread that is just asking.

    A statement is asked again where its connection turns out to be lost: one that writes may have
    written before that, and has to be such that twice is as good as once. What one writes may be
    lost when the power goes, unless they are ``lasting``.
    """

    def __init__(self, engine: Engine, *, lasting: bool = False) -> None:
        self._engine = engine
        self._lasting = lasting
        self._idle: list[Any] = []
        self.lost = 0
        """How often the server, or the way to it, was found to be gone."""

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    def rows(self, statement: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Raises what SQLAlchemy makes of the driver's errors."""
        while True:
            try:
                connection, is_new = self._connection()
            except self._driver_error as error:  # which no pool translates
                raise self._told(statement, values, error, is_lost=True) from error
            try:
                if is_new:
                    self._prepare(connection)
                rows: Sequence[Row] = connection.execute(statement, values).fetchall()
            except self._driver_error as error:
                is_lost = self._let_go(connection)
                if is_lost and not is_new:
                    continue
                raise self._told(statement, values, error, is_lost=is_lost) from error
            self._idle.append(connection)
            return rows

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @property
    def _driver_error(self) -> type[Exception]:
        kind: type[Exception] = self.dialect.loaded_dbapi.Error
        return kind

    def _connection(self) -> tuple[Any, bool]:
        """One that is idle, or else a new one; and whether it is new."""
        try:
            return self._idle.pop(), False
        except IndexError:
            opened = self._engine.connect()  # which tells errors in SQLAlchemy's words
        connection = opened.connection.dbapi_connection
        opened.detach()
        return connection, True

    def _prepare(self, connection: Any) -> None:
        """No transactions, and nobody waits for the disk unless it has to last."""
        if self.dialect.name != "sqlite":  # whose driver begins nothing by itself: app/db.py
            connection.autocommit = True
        if not self._lasting:
            connection.execute(_WITHOUT_WAITING[self.dialect.name])

    def _let_go(self, failed: Any) -> bool:
        """After an error. Answers whether the connection is lost; the others then are, too."""
        is_lost = bool(getattr(failed, "closed", False))
        if is_lost:
            self.lost += 1
            self.close()
        failed.close()
        return is_lost

    def _told(
        self, statement: str, values: Mapping[str, Any], error: Exception, *, is_lost: bool
    ) -> BaseException:
        return _in_sqlalchemys_words(self.dialect, statement, values, error, is_lost=is_lost)


def _in_sqlalchemys_words(
    dialect: Dialect,
    statement: str,
    values: Mapping[str, Any],
    error: Exception,
    *,
    is_lost: bool,
) -> BaseException:
    return DBAPIError.instance(
        statement,
        dict(values),
        error,
        dialect.loaded_dbapi.Error,
        connection_invalidated=is_lost,
        dialect=dialect,
    )


Reader = Session | Asking
"""Who answers a Prepared: a session, which sees what its own transaction has changed, or not."""


def dialect_of(reader: Reader) -> Dialect:
    return reader.dialect if isinstance(reader, Asking) else reader.get_bind().dialect


def is_sqlite(reader: Reader) -> bool:
    return dialect_of(reader).name == "sqlite"


def from_driver(reader: Reader, kind: TypeEngine[Any], value: Any) -> Any:
    """The value of a column of this kind, out of the row of a Prepared, as Python knows it."""
    dialect = dialect_of(reader)
    process = kind.dialect_impl(dialect).result_processor(dialect, None)
    return value if process is None else process(value)


Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete
Upsert = Callable[[Callable[[Any], Any]], Insert]
"""Makes an INSERT out of a database's own ``insert``, where both mean the same by other words."""


class Prepared:
    """A statement that is compiled once for each kind of database.

    Rows come as the driver gives them: SQLite's moments are text.
    """

    def __init__(self, statement: Statement | Upsert) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, reader: Reader, **values: Any) -> Sequence[Row]:
        """``values`` are those of the statement's parameters that have none yet."""
        if isinstance(reader, Asking):
            compiled = self._for(reader.dialect)
            return reader.rows(compiled.text, compiled.values(values))
        rows: Sequence[Row] = self._execute(reader, values).fetchall()
        return rows

    def once(self, session: Session) -> Sequence[Row]:
        """As rows(), but asked once in a transaction(): for what one need not see change in it."""
        rows: Sequence[Row] | None = session.info.get(self)
        if rows is None:
            rows = self.rows(session)
            if CONNECTION in session.info:
                session.info[self] = rows
        return rows

    def run(self, session: Session, **values: Any) -> None:
        """For a statement that answers nothing."""
        self._execute(session, values)

    def _execute(self, session: Session, values: Mapping[str, Any]) -> Any:
        if session.autoflush:
            session.flush()
        connection: Connection | None = session.info.get(CONNECTION)
        if connection is None or connection.closed:
            connection = session.connection()
        compiled = self._for(connection.dialect)
        given = compiled.values(values)
        if connection.dispatch.before_cursor_execute:  # somebody wants to be told of each statement
            return connection.exec_driver_sql(compiled.text, given)
        driver = connection.connection.dbapi_connection
        try:
            return driver.execute(compiled.text, given)  # type: ignore[union-attr] # DB-API lacks it
        except connection.dialect.loaded_dbapi.Error as error:
            is_lost = bool(getattr(driver, "closed", False))
            if is_lost:
                connection.invalidate(error)
            raise _in_sqlalchemys_words(
                connection.dialect, compiled.text, given, error, is_lost=is_lost
            ) from error

    def _for(self, dialect: Dialect) -> "_Compiled":
        known = self._compiled.get(dialect.name)
        if known is None:
            statement = self._statement
            if not isinstance(statement, Select | Insert | Update | Delete):
                statement = statement(_INSERTS[dialect.name])
            known = self._compiled[dialect.name] = _Compiled(statement, dialect)
        return known


_INSERTS: Mapping[str, Callable[[Any], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


class PreparedRows:
    """An INSERT of some rows at once, compiled once for each number of them."""

    def __init__(self, table: Table, *columns: str) -> None:
        self._table = table
        self._columns = columns
        self._by_count: dict[int, Prepared] = {}

    def put(self, session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        """Each of the rows has each of the columns; the table's own defaults are not asked."""
        known = self._by_count.get(len(rows))
        if known is None:
            places: list[dict[str, Any]] = [
                {column: bindparam(f"{column}_{at}") for column in self._columns}
                for at in range(len(rows))
            ]
            known = self._by_count[len(rows)] = Prepared(insert(self._table).values(places))
        values = {
            f"{column}_{at}": row[column] for at, row in enumerate(rows) for column in self._columns
        }
        known.run(session, **values)


def let_know(session: Session, row: Known) -> Known:
    """Let a session know a row that was written beside it, as if the session had read it."""
    make_transient_to_detached(row)
    key = inspect(row).key
    if (undone := session.identity_map.get(key)) is not None:  # rolled back, and its id used again
        session.expunge(undone)
    session.add(row)
    return row


def take_over(row: object, values: Mapping[str, Any]) -> None:
    """Let a row that a session knows show what a statement has just written into it."""
    for name, value in values.items():
        set_committed_value(row, name, value)


class _Compiled:
    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        # SQLite's driver takes names as well, so that there is one way to hand over values.
        kind: type[Any] = type(dialect)
        named = dialect if dialect.name != "sqlite" else kind(paramstyle="named")
        compiled = statement.compile(dialect=named)
        self.text = str(compiled)
        self._known = dict(compiled.params)
        self._processors: dict[str, Callable[[Any], Any]] = {}
        for name, bind in compiled.binds.items():
            process = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if process is not None:
                self._processors[name] = process
                if self._known[name] is not None:
                    self._known[name] = process(self._known[name])

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        values = {**self._known, **given}
        for name, process in self._processors.items():
            if name in given:
                values[name] = process(given[name])
        return values
