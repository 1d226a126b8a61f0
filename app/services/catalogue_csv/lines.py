"""A file of comma-, semicolon- or tab-separated rows, read one row at a time.

What makes it impossible to say where rows begin and end is refused for the whole file, before
anything of it is saved; what is wrong inside one row is that row's affair.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import BinaryIO

from app.errors import InvalidInput

MOST_ROWS = 50_000
SEPARATORS = (",", ";", "\t")
_DECLARATION = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)
_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Record:
    """One row's cells; ``row`` counts from the header, which is row 1, as a spreadsheet does."""

    row: int
    cells: list[str]


class CsvFile:
    """A file that can be read more than once. Raises InvalidInput where it is no such file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._declared: str | None = None
        self._separator = self._find_separator()
        header = next(self._records(), None)
        if header is None:
            raise _refusal("csv_empty", "The file is empty: its first row must name the columns.")
        self._header_row = header.row
        self.header = tuple(name.strip() for name in header.cells)

    def records(self) -> Iterator[Record]:
        """Every row below the header that holds anything."""
        return (record for record in self._records() if record.row > self._header_row)

    def count(self) -> int:
        """How many rows there are. Raises InvalidInput if they cannot be told apart, or are too
        many.
        """
        count = 0
        for count, record in enumerate(self.records(), 1):
            if count > MOST_ROWS:
                raise _refusal(
                    "csv_too_many_rows",
                    f"The file has more than {MOST_ROWS:,} rows: split it.",
                    row=record.row,
                )
        return count

    def _records(self) -> Iterator[Record]:
        lines = self._lines()
        if self._declared is not None:
            next(lines)
        reader = csv.reader(lines, delimiter=self._separator, strict=True)
        row = 0
        while True:
            row += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _malformed(row, str(error)) from error
            if any(cell.strip() for cell in cells):
                yield Record(row, cells)

    def _lines(self) -> Iterator[str]:
        """The lines as text with their ends; each is decoded by itself, so that a fault has a
        place.
        """
        self._file.seek(0)
        for number, raw in enumerate(self._file, 1):
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                raise _refusal(
                    "csv_not_utf8",
                    f"Line {number} is not UTF-8 text. In Excel, save the file as “CSV UTF-8”.",
                ) from None
            if number == 1:
                text = text.removeprefix(_MARK)
            yield from StringIO(text, newline="")  # a lone carriage return ends a line as well

    def _find_separator(self) -> str:
        """What Excel declares in a first line of its own, or what parts the header most often."""
        first = next((line for line in self._lines() if line.strip()), "")
        declaration = _DECLARATION.match(first)
        if declaration:
            self._declared = declaration[1]
            return declaration[1]
        bare = re.sub(r'"[^"]*"', "", first)
        return max(SEPARATORS, key=bare.count)


def _malformed(row: int, reason: str) -> InvalidInput:
    if "field limit" in reason:
        sentence = (
            f"Row {row} has a cell of more than {csv.field_size_limit():,} characters. Perhaps a"
            ' quotation mark (") is never closed.'
        )
    elif "unexpected end" in reason:
        sentence = f'Row {row} opens a quotation mark (") that is never closed.'
    else:
        sentence = f'Row {row} cannot be read: a quotation mark (") inside a cell is written "".'
    return _refusal("csv_malformed", sentence, row=row)


def _refusal(code: str, sentence: str, **extra: int) -> InvalidInput:
    return InvalidInput.field("file", sentence, code=code, **extra)
