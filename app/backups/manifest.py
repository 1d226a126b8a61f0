"""What a backup says about itself."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.utils.clock import rfc3339

FORMAT = 1
"""Of the file. A number that this code does not know is refused."""


class Kind(StrEnum):
    """How a column's values are written; those of MOMENT are in UTC."""

    WHOLE = "whole"
    REAL = "real"
    TEXT = "text"
    TRUTH = "truth"
    MOMENT = "moment"
    BYTES = "bytes"


class Uploads(StrEnum):
    """Whether the pictures are in the file, or a bucket of the shop's keeps them."""

    INSIDE = "inside"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class TablePart:
    """The rows of one table. ``last_id`` is the last one that it ever gave, where it gives ids."""

    name: str
    columns: tuple[Column, ...]
    row_count: int
    last_id: int | None
    sha256: str

    @property
    def entry(self) -> str:
        """Its name in the file."""
        return f"rows/{self.name}.copy"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of the store, under its path there."""

    path: str
    size: int
    sha256: str

    @property
    def entry(self) -> str:
        return f"uploads/{self.path}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """``ledger_cents`` is what each account of the books holds, by which a restore proves that the
    money is the same. ``at_work`` names who was using the shop meanwhile.
    """

    made_at: datetime
    revision: str
    database_kind: str
    tables: tuple[TablePart, ...]
    ledger_cents: dict[str, int]
    uploads_kept: Uploads
    uploads: tuple[Upload, ...] = ()
    at_work: tuple[str, ...] = ()
    format: int = field(default=FORMAT)

    @property
    def row_count(self) -> int:
        return sum(table.row_count for table in self.tables)

    def rows_of(self, table: str) -> int:
        return sum(part.row_count for part in self.tables if part.name == table)

    def to_json(self) -> bytes:
        values = {**asdict(self), "made_at": rfc3339(self.made_at)}
        return json.dumps(values, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Raises KeyError, TypeError or ValueError for what no version of ours wrote."""
        values: dict[str, Any] = json.loads(content)
        return cls(
            made_at=datetime.fromisoformat(values["made_at"]),
            revision=str(values["revision"]),
            database_kind=str(values["database_kind"]),
            tables=tuple(_table_of(table) for table in values["tables"]),
            ledger_cents={name: int(cents) for name, cents in values["ledger_cents"].items()},
            uploads_kept=Uploads(values["uploads_kept"]),
            uploads=tuple(Upload(**upload) for upload in values["uploads"]),
            at_work=tuple(values["at_work"]),
            format=int(values["format"]),
        )


def _table_of(values: dict[str, Any]) -> TablePart:
    columns = tuple(Column(one["name"], Kind(one["kind"])) for one in values["columns"])
    return TablePart(**{**values, "columns": columns})
