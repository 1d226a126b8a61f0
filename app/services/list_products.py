"""The catalogue, filtered, sorted, a page at a time."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, String, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.models import Product
from app.services.categories import categories_within
from app.services.find_product import products_for_sale
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.product_rows import ProductRow, rows_for_sale


class ProductSort(StrEnum):
    """What a list may be sorted by; ``-`` in front turns it round."""

    NAME = "name"
    PRICE = "price"
    CREATED_AT = "created_at"
    NAME_DESCENDING = "-name"
    PRICE_DESCENDING = "-price"
    CREATED_AT_DESCENDING = "-created_at"


_KEYS: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
    "name": func.lower(Product.name, type_=String),  # or "apple" would stand after "Zebra"
    "price": Product.price_cents,
    "created_at": Product.created_at,
}


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


def list_products(session: Session, wanted: ProductFilter, page: PageRequest) -> Page[Product]:
    """One page in one statement; what is equal by the sort stands in the order of ids."""
    return paginate(session, _matching(products_for_sale(), wanted), _order(wanted), page)


def list_product_rows(
    session: Session, wanted: ProductFilter, page: PageRequest
) -> Page[ProductRow]:
    """The same page, of each product only what everybody sees."""
    found = paginate(session, _matching(rows_for_sale(), wanted), _order(wanted), page)
    return replace(found, rows=[ProductRow(*row) for row in found.rows])


def _order(wanted: ProductFilter) -> list[SortKey]:
    descending = wanted.sort.startswith("-")
    first = SortKey(_KEYS[wanted.sort.removeprefix("-")], descending=descending)
    return [first, SortKey(Product.id, descending=descending)]


def _matching(
    statement: Select[*tuple[Any, ...]], wanted: ProductFilter
) -> Select[*tuple[Any, ...]]:
    for word in wanted.words:
        statement = statement.where(_mentions(word))
    if wanted.category is not None:
        within = categories_within(wanted.category)
        statement = statement.where(Product.category_id.in_(select(within.c.id)))
    if wanted.min_price_cents is not None:
        statement = statement.where(Product.price_cents >= wanted.min_price_cents)
    if wanted.max_price_cents is not None:
        statement = statement.where(Product.price_cents <= wanted.max_price_cents)
    if wanted.in_stock is not None:
        is_there = Product.on_hand > Product.reserved
        statement = statement.where(is_there if wanted.in_stock else ~is_there)
    if wanted.seller_id is not None:
        statement = statement.where(Product.seller_id == wanted.seller_id)
    return statement


def _mentions(word: str) -> ColumnElement[bool]:
    """The word stands somewhere in the product's text, ``%`` and ``_`` as themselves.

    Both databases fold the case of ASCII letters alike; of others PostgreSQL folds more.
    """
    return or_(
        *(
            column.icontains(word, autoescape=True)
            for column in (Product.name, Product.description, Product.sku)
        )
    )
