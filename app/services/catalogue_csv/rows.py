"""The values that pass between reading a file and saving its rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.services.change_product import ProductChange

MOST_NAMED = 1_000
"""How many faults, and how many warnings, an answer names; all are counted."""

_LONGEST_VALUE = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One product in a file, its cells under our own names for them; ``row`` is the spreadsheet's
    number, where the header is row 1. A cell that is missing says nothing of its field.
    """

    row: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Skip:
    """A row that is no product of its own. Without a reason it need not be mentioned."""

    row: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row was not saved; ``column`` is our own name for it."""

    row: int
    message: str
    column: str | None = None
    value: str | None = None

    @classmethod
    def of(cls, line: Line, message: str, column: str | None = None) -> "RowFault":
        value = line.cells.get(column, "")[:_LONGEST_VALUE] if column else None
        return cls(line.row, message, column, value)


@dataclass(frozen=True, slots=True)
class ProductRow:
    """A line whose cells are all sound. ``change.category`` is the text that names it."""

    line: Line
    change: ProductChange
    id: int | None = None
    seller: str | None = None


RowReader = Callable[[Line], ProductRow | list[RowFault]]
"""Reads the cells of a line; the caller's schema does it."""


class Result(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(slots=True)
class Seen:
    """The products that rows of this file have named so far, and in which row."""

    products: dict[int, int] = field(default_factory=dict)
    skus: dict[tuple[int, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class ImportReport:
    """What became of a file. ``rows`` is the sum of the five counts after it."""

    format: str
    dry_run: bool
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    errors: list[RowFault] = field(default_factory=list)
    warnings: list[Skip] = field(default_factory=list)
    ignored_columns: tuple[str, ...] = ()

    def count(self, result: Result) -> None:
        self.rows += 1
        match result:
            case Result.CREATED:
                self.created += 1
            case Result.UPDATED:
                self.updated += 1
            case Result.UNCHANGED:
                self.unchanged += 1

    def refuse(self, faults: list[RowFault]) -> None:
        """One row that was not saved, for one reason or more."""
        self.rows += 1
        self.failed += 1
        self.errors += faults[: MOST_NAMED - len(self.errors)]

    def skip(self, skipped: Skip) -> None:
        self.rows += 1
        self.skipped += 1
        if skipped.reason and len(self.warnings) < MOST_NAMED:
            self.warnings.append(skipped)

    def warn(self, message: str) -> None:
        """Say something of the file as a whole, before what is said of rows."""
        self.warnings.insert(0, Skip(None, message))
