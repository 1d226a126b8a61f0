r"""Rows as lines, in PostgreSQL's text format of COPY: fields between tabs, ``\N`` for NULL.

PostgreSQL reads and writes it by itself. For SQLite, whose values are plainer, this does.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from app.backups.manifest import Column, Kind

NULL = "\\N"
_LETTERS = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LETTERS["\v"] = "\\v"
_ESCAPES = str.maketrans(_LETTERS)
_MEANT = {escape[1]: letter for letter, escape in _LETTERS.items()}
_ESCAPE = re.compile(r"\\(.)")
_HEXADECIMAL = "\\x"

Encode = Callable[[Any], str]
Decode = Callable[[str], Any]


def lines_of(rows: Iterable[Sequence[Any]], columns: Sequence[Column]) -> Iterator[str]:
    """Rows as SQLite gives them, each as a line with its end."""
    encoders = [_ENCODERS[column.kind] for column in columns]
    for row in rows:
        fields = [
            NULL if value is None else encode(value)
            for encode, value in zip(encoders, row, strict=True)
        ]
        yield "\t".join(fields) + "\n"


def rows_in(lines: Iterable[bytes], columns: Sequence[Column]) -> Iterator[list[Any]]:
    """Lines as rows for SQLite. Raises ValueError for a line that is none of this table."""
    decoders = [_DECODERS[column.kind] for column in columns]
    for line in lines:
        fields = line.decode().removesuffix("\n").split("\t")
        yield [
            None if field == NULL else decode(field)
            for decode, field in zip(decoders, fields, strict=True)
        ]


def _escape(value: Any) -> str:
    return str(value).translate(_ESCAPES)


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: _MEANT.get(found[1], found[1]), field)


def _read_truth(field: str) -> int:
    return {"t": 1, "f": 0}[field]


def _read_moment(field: str) -> str:
    """As SQLAlchemy writes moments into SQLite."""
    moment = datetime.fromisoformat(field)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(" ", "microseconds")


def _read_bytes(field: str) -> bytes:
    return bytes.fromhex(_unescape(field).removeprefix(_HEXADECIMAL))


_ENCODERS: dict[Kind, Encode] = {
    Kind.WHOLE: str,
    Kind.REAL: repr,
    Kind.TEXT: _escape,
    Kind.TRUTH: lambda value: "t" if value else "f",
    Kind.MOMENT: lambda value: f"{value}+00" if value[-6:-5] not in "+-" else value,
    Kind.BYTES: lambda value: _escape(_HEXADECIMAL + bytes(value).hex()),
}
_DECODERS: dict[Kind, Decode] = {
    Kind.WHOLE: int,
    Kind.REAL: float,
    Kind.TEXT: _unescape,
    Kind.TRUTH: _read_truth,
    Kind.MOMENT: _read_moment,
    Kind.BYTES: _read_bytes,
}
