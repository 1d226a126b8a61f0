"""Changes of tables that hold rows, made so that nobody who reads or writes them waits.

For migrations after the first release. PostgreSQL lets a statement that changes a table wait for
all that use it, and everybody who comes later waits behind it. So a change that needs the whole
table takes it for a moment and looks at no row; what looks at rows takes it from nobody. Each
function may be called again after it was interrupted half-way: what is done is found done.

On SQLite one writes at a time in any case, and readers see the tables as they were until the
migration is committed; there the same is done in the plain way.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

BATCH = 5_000
"""Rows that are filled in one transaction; others who want to write one of them wait so long."""

NOT_NULL_CHECK = "{table}_{column}_there"


def add_column(table: str, column: sa.Column[Any]) -> None:
    """A column that may be empty, or has a constant that PostgreSQL need not write into each row.

    Raises ValueError for one that would make it write every row, or that the rows do not fit.
    """
    default = column.server_default
    if not column.nullable and default is None:
        raise ValueError(f"{table}.{column.name}: let it be empty first; fill, then require_value.")
    said = getattr(default, "arg", None)
    if default is not None and not isinstance(said, str) and not _is_constant(said):
        raise ValueError(f"{table}.{column.name}: only a constant is not written into every row.")
    if column.name not in _columns_of(table):
        op.add_column(table, column)


def create_index(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """An index that is made beside everybody's reading and writing, in a while of its own.

    It waits for all transactions that are older. One that was interrupted is made anew.
    """
    if _is_sqlite():
        op.create_index(name, table, columns, if_not_exists=True, **options)
        return
    if _is_valid_index(name):
        return
    with op.get_context().autocommit_block():
        # Nobody waits for who waits here, so there is no haste.
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(name)}")
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
        op.execute("SET lock_timeout = '1s'")


def drop_index(name: str, table: str) -> None:
    if _is_sqlite():
        op.drop_index(name, table_name=table, if_exists=True)
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_quoted(name)}")
        op.execute("SET lock_timeout = '1s'")


def add_check(table: str, name: str, condition: str) -> None:
    """A rule that holds for new rows at once, and for the old ones when they were looked through.

    On SQLite the table has to be made anew for it: see migration 0009.
    """
    _add_constraint(table, f"ck_{table}_{name}", f"CHECK ({condition})")


def add_reference(table: str, column: str, target: str) -> None:
    """A foreign key to the ``id`` of another table."""
    _add_constraint(
        table,
        f"fk_{table}_{column}_{target}",
        f"FOREIGN KEY ({_quoted(column)}) REFERENCES {_quoted(target)} (id)",
    )


def require_value(table: str, column: str) -> None:
    """From now on the column is never empty. It was filled before: an empty row ends in an error.

    A checked rule spares PostgreSQL to look through all rows while it holds the table.
    """
    check = NOT_NULL_CHECK.format(table=table, column=column)
    _add_constraint(table, check, f"CHECK ({_quoted(column)} IS NOT NULL)")
    op.execute(f"ALTER TABLE {_quoted(table)} ALTER COLUMN {_quoted(column)} SET NOT NULL")
    op.execute(f"ALTER TABLE {_quoted(table)} DROP CONSTRAINT {_quoted(check)}")


def fill(table: str, column: str, value: str, *, batch: int = BATCH) -> None:
    """Give the column ``value`` (an expression of SQL) wherever it is empty, a batch at a time.

    The table has ids. Whoever writes a row meanwhile waits for one batch at most.
    """
    bind, table_, column_ = op.get_bind(), _quoted(table), _quoted(column)
    last_id = bind.execute(sa.text(f"SELECT max(id) FROM {table_}")).scalar_one()  # noqa: S608 - the migration's own names
    statement = (
        f"UPDATE {table_} SET {column_} = {value}"  # noqa: S608 - the migration's own names
        f" WHERE id > :after AND id <= :upto AND {column_} IS NULL"
    )
    if _is_sqlite():
        bind.execute(sa.text(statement), {"after": -1, "upto": last_id or 0})
        return
    for after in range(0, last_id or 0, batch):
        with op.get_context().autocommit_block():
            op.get_bind().execute(sa.text(statement), {"after": after, "upto": after + batch})


def _add_constraint(table: str, name: str, rule: str) -> None:
    if _is_sqlite():
        raise NotImplementedError("SQLite changes no rule of a table: make it anew (see 0009).")
    known = _constraint(table, name)
    if known is None:
        op.execute(f"ALTER TABLE {_quoted(table)} ADD CONSTRAINT {_quoted(name)} {rule} NOT VALID")
    if not known:
        with op.get_context().autocommit_block():  # what came before is let go first
            op.execute(f"ALTER TABLE {_quoted(table)} VALIDATE CONSTRAINT {_quoted(name)}")


def _constraint(table: str, name: str) -> bool | None:
    """Whether it was looked through; None where there is none."""
    known = sa.text(
        "SELECT convalidated FROM pg_constraint"
        " WHERE conrelid = to_regclass(:table) AND conname = :name"
    )
    found = op.get_bind().execute(known, {"table": table, "name": name}).scalar_one_or_none()
    return None if found is None else bool(found)


def _is_valid_index(name: str) -> bool:
    valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(valid, {"name": name}).scalar_one_or_none())


def _is_constant(said: object) -> bool:
    text = str(said).strip()
    is_quoted = text.startswith("'") and text.endswith("'")
    return is_quoted or text.lower() in {"true", "false", "null"} or _is_number(text)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdecimal()


def _columns_of(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _quoted(name: str) -> str:
    return op.get_bind().dialect.identifier_preparer.quote(name)
