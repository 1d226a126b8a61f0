"""Which tables a backup holds, and how their columns are written, as the database itself says.

The database may be older than this code's models, so these are not asked.
"""

from dataclasses import dataclass

from sqlalchemy import JSON, Connection, Inspector, inspect, types

from app.backups.manifest import Column, Kind

LEFT_OUT = {
    "alembic_version": "the manifest says it",
    "catalogue_marks": "triggers make them of the products",
    "doctor_probes": "a probe is answered within minutes",
    "paces": "what is due is due at once after a restore",
    "rate_counters": "limits begin anew",
    "shared_tokens": "a secret of Safaricom's, good for an hour",
    "worker_heartbeats": "they are of the machines that ran then",
}
"""Tables that no backup holds, and why. Nor those of the search, which triggers make."""

_SEARCH = "search_"
_OF_SQLITE = "sqlite_"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the columns that are written, and those that its rows are sorted by."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def has_ids(self) -> bool:
        return self.key == ("id",) and Column("id", Kind.WHOLE) in self.columns


def read_tables(connection: Connection) -> list[Table]:
    """The tables of the shop, each after those that it refers to."""
    inspector = inspect(connection)
    names = [
        name
        for name, _references in inspector.get_sorted_table_and_fkc_names()
        if name is not None and is_kept(name)
    ]
    return [_read_table(inspector, name) for name in names]


def is_kept(name: str) -> bool:
    return name not in LEFT_OUT and not name.startswith((_SEARCH, _OF_SQLITE))


def _read_table(inspector: Inspector, name: str) -> Table:
    columns = tuple(
        Column(column["name"], _kind_of(column["type"]))
        for column in inspector.get_columns(name)
        if "computed" not in column
    )
    key = inspector.get_pk_constraint(name)["constrained_columns"]
    return Table(name, columns, tuple(key))


def _kind_of(kind: types.TypeEngine[object]) -> Kind:
    for base, meant in (
        (types.Boolean, Kind.TRUTH),
        (types.Integer, Kind.WHOLE),
        (types.DateTime, Kind.MOMENT),
        (types.LargeBinary, Kind.BYTES),
        (types.Float, Kind.REAL),
        (JSON, Kind.TEXT),
        (types.String, Kind.TEXT),
    ):
        if isinstance(kind, base):
            return meant
    raise TypeError(f"No backup knows how to write a column of type {kind!r}.")
