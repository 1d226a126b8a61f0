"""Products as rows of what everybody sees of them: what is read most is read by the shortest way.

No objects of the mapper are made, and nothing is loaded that is not shown.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    String,
    bindparam,
    func,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.asking import Prepared, Reader, is_sqlite
from app.models import Category, Product
from app.models.item import average_rating
from app.services.find_product import BIGGEST_ID, no_such_product

SHOWN = (
    *("id", "name", "price_cents", "description", "on_hand", "reserved", "category_id"),
    *("image_url", "rating_sum", "rating_count", "seller_id", "sku"),
    *("created_at", "updated_at", "version"),
)
"""The columns of a product that a ProductRow is made of."""


class ProductRow(NamedTuple):
    """A product at one moment. ``category`` is a slug, moments are text as RFC 3339 has it."""

    id: int
    name: str
    price_cents: int
    description: str
    available: int
    category: str | None
    image_url: str | None
    rating_sum: int
    rating_count: int
    seller_id: int
    sku: str | None
    created_at: str
    updated_at: str
    version: int

    @property
    def rating_average(self) -> float | None:
        return average_rating(self.rating_sum, self.rating_count)


class _Rfc3339(FunctionElement[str]):
    """``2026-11-22T09:30:00Z`` of a moment, as app/utils/clock.py writes it."""

    type = String()
    inherit_cache = True


@compiles(_Rfc3339, "postgresql")
def _in_postgresql(element: _Rfc3339, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"


@compiles(_Rfc3339, "sqlite")
def _in_sqlite(element: _Rfc3339, compiler: SQLCompiler, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"substr({moment}, 1, 10) || 'T' || substr({moment}, 12, 8) || 'Z'"


def shown_columns(table: FromClause, slug: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """A ProductRow's columns, of a table that holds what SHOWN names."""
    return [
        table.c.id,
        table.c.name,
        table.c.price_cents,
        table.c.description,
        (table.c.on_hand - table.c.reserved).label("available"),
        slug.label("category"),
        table.c.image_url,
        table.c.rating_sum,
        table.c.rating_count,
        table.c.seller_id,
        table.c.sku,
        _Rfc3339(table.c.created_at).label("created"),
        _Rfc3339(table.c.updated_at).label("updated"),
        table.c.version,
    ]


_PRODUCTS, _CATEGORIES = Product.__table__, Category.__table__
_FOR_SALE = (
    select(*shown_columns(_PRODUCTS, _CATEGORIES.c.slug))
    .select_from(_PRODUCTS.outerjoin(_CATEGORIES, _CATEGORIES.c.id == _PRODUCTS.c.category_id))
    .where(_PRODUCTS.c.deleted_at.is_(None))
)
_ONE = Prepared(_FOR_SALE.where(_PRODUCTS.c.id == bindparam("product_id", type_=BigInteger)))


@cache
def _several(*, in_sqlite: bool) -> Prepared:
    return Prepared(_FOR_SALE.where(is_one_of(_PRODUCTS.c.id, in_sqlite=in_sqlite)))


def is_one_of(column: ColumnElement[Any], *, in_sqlite: bool) -> ColumnElement[bool]:
    """A condition that takes ``ids`` as one value, made by id_list(), however many they are."""
    if in_sqlite:
        listed = func.json_each(bindparam("ids", type_=String)).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == func.any(bindparam("ids", type_=ARRAY(BigInteger)))


def id_list(reader: Reader, ids: Sequence[int]) -> list[int] | str:
    return json.dumps(list(ids)) if is_sqlite(reader) else list(ids)


def find_product_row(reader: Reader, product_id: int) -> ProductRow:
    """Raises NotFound."""
    if product_id > BIGGEST_ID:
        raise no_such_product()
    rows = _ONE.rows(reader, product_id=product_id)
    if not rows:
        raise no_such_product()
    return ProductRow(*rows[0])


def find_product_rows(reader: Reader, ids: Sequence[int]) -> list[ProductRow]:
    """Those of these products that are for sale, in the order of the ids."""
    if not ids:
        return []
    statement = _several(in_sqlite=is_sqlite(reader))
    rows = {row[0]: ProductRow(*row) for row in statement.rows(reader, ids=id_list(reader, ids))}
    return [rows[product_id] for product_id in ids if product_id in rows]
