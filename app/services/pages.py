"""Lists one page at a time, by keyset: a page costs the same however deep it lies, and a row that
is added meanwhile makes nobody see another row twice.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import InvalidInput

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_LONGEST_CURSOR = 4000
_LARGEST_INTEGER = 2**63 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page, how long, and whether to count the whole list."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    include_total: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page. ``next_cursor`` is None on the last one; ``total`` only when it was asked for."""

    rows: list[T]
    next_cursor: str | None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column (or expression) to sort by; it is never NULL."""

    column: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False


def paginate(
    session: Session,
    statement: Select[*tuple[Any, ...]],
    keys: Sequence[SortKey],
    request: PageRequest,
) -> Page[Any]:
    """The rows of ``statement`` after the cursor, in the order of ``keys``.

    The last key must be unique (an id), or rows that share a place are skipped. A statement of
    one entity gives entities; one of several columns gives tuples. Raises InvalidInput for a
    cursor that is not ours or belongs to another order.
    """
    ordered = statement.order_by(None).order_by(*[ordering(key) for key in keys])
    if request.cursor is not None:
        ordered = ordered.where(after(keys, read_cursor(request.cursor, keys)))
    ordered = ordered.add_columns(*[key.column for key in keys]).limit(request.limit + 1)
    found = session.execute(ordered).all()
    rows = found[: request.limit]
    width = -len(keys)
    next_cursor = None
    if len(found) > request.limit:
        next_cursor = write_cursor(tuple(rows[-1][width:]), keys)
    return Page(
        rows=[row[0] if len(row) + width == 1 else tuple(row[:width]) for row in rows],
        next_cursor=next_cursor,
        total=_count(session, statement) if request.include_total else None,
    )


def _count(session: Session, statement: Select[*tuple[Any, ...]]) -> int:
    inner = statement.order_by(None).subquery()
    return session.execute(select(func.count()).select_from(inner)).scalar_one()


def ordering(key: SortKey) -> ColumnElement[Any]:
    return key.column.desc() if key.descending else key.column.asc()


def after(keys: Sequence[SortKey], values: Sequence[Any]) -> ColumnElement[bool]:
    """Strictly after ``values``. Keys of one direction compare as a row, which an index serves."""
    if len({key.descending for key in keys}) == 1:
        row = tuple_(*[key.column for key in keys])
        return row < tuple_(*values) if keys[0].descending else row > tuple_(*values)
    branches = []
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        equal = [
            before.column == known for before, known in zip(keys[:place], values, strict=False)
        ]
        beyond = key.column < value if key.descending else key.column > value
        branches.append(and_(*equal, beyond))
    return or_(*branches)


def _fingerprint(keys: Sequence[SortKey]) -> str:
    return ",".join(("-" if key.descending else "") + _name(key) for key in keys)


def _name(key: SortKey) -> str:
    return str(getattr(key.column, "key", None) or getattr(key.column, "name", "expression"))


def write_cursor(values: Sequence[Any], keys: Sequence[SortKey]) -> str:
    plain = [
        {"at": value.isoformat()} if isinstance(value, datetime) else value for value in values
    ]
    document = json.dumps([_fingerprint(keys), *plain], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).rstrip(b"=").decode()


def read_cursor(cursor: str, keys: Sequence[SortKey]) -> list[Any]:
    try:
        return _decoded(cursor, keys)
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput.field(
            "cursor", "This cursor does not belong to this list. Start again without one."
        ) from None


def _decoded(cursor: str, keys: Sequence[SortKey]) -> list[Any]:
    """Raises ValueError or TypeError for anything but what _write_cursor makes of these keys."""
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError("too long")
    document = base64.b64decode(
        cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
    )
    order, *plain = json.loads(document)
    if order != _fingerprint(keys):
        raise ValueError("another order")
    return [_typed(value, key) for value, key in zip(plain, keys, strict=True)]


def _typed(value: Any, key: SortKey) -> Any:
    """A value of the column's own type, or ValueError: a cursor comes from outside."""
    kind = key.column.type.python_type
    if kind is datetime:
        if not isinstance(value, dict):
            raise TypeError("not a moment")
        moment = datetime.fromisoformat(value["at"]) if set(value) == {"at"} else None
        if moment is None or moment.tzinfo is None:
            raise ValueError("not a moment")
        return moment.astimezone(UTC)
    if type(value) is int and kind is float:
        return float(value)
    if type(value) is not kind:
        raise TypeError("another type")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise ValueError("too large")
    if isinstance(value, str) and "\0" in value.encode().decode():  # half a surrogate pair raises
        raise ValueError("holds NUL")
    return value
