"""The catalogue, filtered, sorted, a page at a time."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import String, bindparam, select

from app.asking import Prepared, Reader, from_driver, is_sqlite
from app.models import Product
from app.services.categories import categories_within
from app.services.pages import Page, PageRequest, read_cursor, write_cursor
from app.services.product_pages import (
    FEW_PRICED,
    MOST_WALKED,
    Shape,
    count_statement,
    page_statement,
    priced_statement,
    sort_keys,
)
from app.services.product_rows import ProductRow, id_list
from app.utils.slug import slugify


class ProductSort(StrEnum):
    """What a list may be sorted by; ``-`` in front turns it round."""

    NAME = "name"
    PRICE = "price"
    CREATED_AT = "created_at"
    NAME_DESCENDING = "-name"
    PRICE_DESCENDING = "-price"
    CREATED_AT_DESCENDING = "-created_at"


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """Which products are wanted; what is None does not matter. All conditions hold together."""

    category: str | None = None
    words: tuple[str, ...] = ()
    min_price_cents: int | None = None
    max_price_cents: int | None = None
    in_stock: bool | None = None
    seller_id: int | None = None
    sort: ProductSort = ProductSort.CREATED_AT_DESCENDING


_WITHIN = Prepared(
    select(
        categories_within(bindparam("wanted", type_=String), bindparam("slug", type_=String)).c.id
    )
)


def list_products(reader: Reader, wanted: ProductFilter, page: PageRequest) -> Page[ProductRow]:
    """What is equal by the sort stands in the order of ids.

    Raises InvalidInput for a cursor that is not ours or belongs to another order.
    """
    shape, values = _question(wanted)
    keys = sort_keys(Product.__table__, shape)
    if page.cursor is not None:
        places = read_cursor(page.cursor, keys)
        values |= {f"after_{number}": place for number, place in enumerate(places)}
    total = count_products(reader, wanted) if page.include_total else None
    located = _locate(reader, wanted, shape, values)
    if located is None:
        return Page([], None, total)
    shape = replace(located, is_after=page.cursor is not None)
    statement = page_statement(shape, in_sqlite=is_sqlite(reader))
    found = statement.rows(reader, **values, row_limit=page.limit + 1)
    rows = [ProductRow(*row[: -len(keys)]) for row in found[: page.limit]]
    next_cursor = None
    if len(found) > page.limit:
        last = found[page.limit - 1][-len(keys) :]
        next_cursor = write_cursor(
            [
                from_driver(reader, key.column.type, value)
                for key, value in zip(keys, last, strict=True)
            ],
            keys,
        )
    return Page(rows, next_cursor, total)


def count_products(reader: Reader, wanted: ProductFilter) -> int:
    """On all pages together: exact, and therefore as slow as they are many."""
    shape, values = _question(wanted)
    located = _locate(reader, wanted, shape, values)
    if located is None:
        return 0
    statement = count_statement(replace(located, few_priced=False), in_sqlite=is_sqlite(reader))
    ((total,),) = statement.rows(reader, **values)
    return int(total)


def _question(wanted: ProductFilter) -> tuple[Shape, dict[str, Any]]:
    """What is asked, and its values; where categories and prices are is not known yet."""
    shape = Shape(
        sort=wanted.sort.removeprefix("-"),
        descending=wanted.sort.startswith("-"),
        words=len(wanted.words),
        has_lowest=wanted.min_price_cents is not None,
        has_highest=wanted.max_price_cents is not None,
        in_stock=wanted.in_stock,
        has_seller=wanted.seller_id is not None,
    )
    values: dict[str, Any] = {
        f"word_{place}": f"%{_escaped(word)}%" for place, word in enumerate(wanted.words)
    }
    named = {
        "lowest": wanted.min_price_cents,
        "highest": wanted.max_price_cents,
        "seller_id": wanted.seller_id,
    }
    values |= {name: value for name, value in named.items() if value is not None}
    return shape, values


def _locate(
    reader: Reader, wanted: ProductFilter, shape: Shape, values: dict[str, Any]
) -> Shape | None:
    """The shape as the database stands now; None where no category is meant.

    The ids of categories are put to the values.
    """
    if wanted.category is not None:
        within = _WITHIN.rows(reader, wanted=wanted.category, slug=slugify(wanted.category))
        ids = [category_id for (category_id,) in within]
        if not ids:
            return None
        shape = replace(shape, categories=len(ids))
        values["ids"] = id_list(reader, ids)
        if is_sqlite(reader):
            values |= {f"category_{place}": one for place, one in enumerate(ids[:MOST_WALKED])}
    if shape.sort != "price" and (shape.has_lowest or shape.has_highest):
        prices = {name: values[name] for name in ("lowest", "highest") if name in values}
        ((count,),) = priced_statement(replace(shape, few_priced=True)).rows(reader, **prices)
        shape = replace(shape, few_priced=count <= FEW_PRICED)
    return shape


def _escaped(word: str) -> str:
    """``%`` and ``_`` as themselves."""
    return word.replace("/", "//").replace("%", "/%").replace("_", "/_")
