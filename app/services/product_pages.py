"""The statements behind a page of products, one for each shape of a question, compiled once.

Each page is found by walking an index in the order that is wanted and stopping when it is full,
so that it costs the same in a catalogue of a thousand products and of a million:

* at prices that few products have: these few, sorted;
* of a seller: that seller's in order;
* in some categories: each one's in order, and the first of all of them together;
* otherwise: all in order.

What does not match beside that is left out on the way. Which of these it is, is not left to the
planner. It would have to know how many products match: SQLite has no idea, and PostgreSQL forgets
it once a statement is prepared.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from app.asking import Prepared
from app.models import Category, Product
from app.services.pages import SortKey, after, ordering
from app.services.product_rows import SHOWN, is_one_of, shown_columns

FEW_PRICED = 2_000
"""So many products are sorted as quickly as an index is walked to find a page of them."""
MOST_WALKED = 100
"""Categories that SQLite walks side by side; it joins no more statements than 500."""

_SORTED_BY = {"price": "price_cents", "created_at": "created_at"}
_PRODUCTS = Product.__table__
_CATEGORIES = Category.__table__


@dataclass(frozen=True, slots=True)
class Shape:
    """What a question is made of, whatever the values in it. ``categories`` counts them."""

    sort: str
    descending: bool
    categories: int | None = None
    words: int = 0
    has_lowest: bool = False
    has_highest: bool = False
    in_stock: bool | None = None
    has_seller: bool = False
    is_after: bool = False
    few_priced: bool = False


def sort_keys(table: FromClause, shape: Shape) -> list[SortKey]:
    """What is equal by the sort stands in the order of ids."""
    column: ColumnElement[Any] = (
        func.lower(table.c.name, type_=String)  # or "apple" would stand after "Zebra"
        if shape.sort == "name"
        else table.c[_SORTED_BY[shape.sort]]
    )
    return [
        SortKey(column, descending=shape.descending),
        SortKey(table.c.id, descending=shape.descending),
    ]


@cache
def page_statement(shape: Shape, *, in_sqlite: bool) -> Prepared:
    """Rows of what SHOWN names, then both sort keys; ``row_limit`` of them."""
    table = _few_priced(shape) if shape.few_priced else _PRODUCTS
    walks_categories = 0 < (shape.categories or 0) <= MOST_WALKED
    if shape.few_priced or shape.has_seller or not walks_categories:
        further = _in_categories(table, shape, in_sqlite=in_sqlite)
        found: FromClause = _walk(table, shape, further).subquery("found")
    elif in_sqlite:
        found = _side_by_side(shape)
    else:
        found = _laterally(shape)
    keys = [SortKey(found.c.first_key, shape.descending), SortKey(found.c.id, shape.descending)]
    slug = select(_CATEGORIES.c.slug).where(_CATEGORIES.c.id == found.c.category_id)
    return Prepared(
        select(*shown_columns(found, slug.scalar_subquery()), found.c.first_key, found.c.id)
        .select_from(found)
        .order_by(*map(ordering, keys))
        .limit(bindparam("row_limit", type_=BigInteger))
    )


@cache
def count_statement(shape: Shape, *, in_sqlite: bool) -> Prepared:
    """How many there are on all pages together."""
    conditions = _conditions(_PRODUCTS, shape)
    if shape.categories is not None:
        conditions.append(is_one_of(_PRODUCTS.c.category_id, in_sqlite=in_sqlite))
    return Prepared(select(func.count()).select_from(_PRODUCTS).where(*conditions))


@cache
def priced_statement(shape: Shape) -> Prepared:
    """How many products have such a price, counted one beyond the few."""
    few = select(literal(1)).select_from(_PRODUCTS).where(*_prices(_PRODUCTS, shape))
    return Prepared(select(func.count()).select_from(few.limit(FEW_PRICED + 1).subquery()))


def _walk(
    table: FromClause, shape: Shape, further: list[ColumnElement[bool]]
) -> Select[*tuple[Any, ...]]:
    """The first products of a table, or of what stands for it, in the order that is wanted."""
    keys = sort_keys(table, shape)
    conditions = [*_conditions(table, shape), *further]
    if shape.is_after:
        places = [
            bindparam(f"after_{place}", type_=key.column.type) for place, key in enumerate(keys)
        ]
        conditions.append(after(keys, places))
    return (
        select(*(table.c[name] for name in SHOWN), keys[0].column.label("first_key"))
        .select_from(table)
        .where(*conditions)
        .order_by(*map(ordering, keys))
        .limit(bindparam("row_limit", type_=BigInteger))
    )


def _side_by_side(shape: Shape) -> FromClause:
    """SQLite: a statement for each category, joined."""
    walks = []
    for place in range(shape.categories or 0):
        category = bindparam(f"category_{place}", type_=BigInteger)
        walk = _walk(_PRODUCTS, shape, [_PRODUCTS.c.category_id == category])
        walks.append(select(walk.subquery()))
    return union_all(*walks).subquery("found")


def _laterally(shape: Shape) -> FromClause:
    wanted = func.unnest(_category_array()).table_valued("id", name="wanted").render_derived()
    walk = _walk(_PRODUCTS, shape, [_PRODUCTS.c.category_id == wanted.c.id]).lateral("walk")
    return select(walk).select_from(wanted.join(walk, true())).subquery("found")


def _few_priced(shape: Shape) -> FromClause:
    """The limit keeps the planner to the index of prices; there are fewer than that."""
    return (
        select(_PRODUCTS)
        .where(*_prices(_PRODUCTS, shape))
        .order_by(_PRODUCTS.c.price_cents, _PRODUCTS.c.id)
        .limit(2 * FEW_PRICED)
        .subquery("few_priced")
    )


def _category_array() -> ColumnElement[Any]:
    return bindparam("ids", type_=ARRAY(BigInteger))


def _in_categories(
    table: FromClause, shape: Shape, *, in_sqlite: bool
) -> list[ColumnElement[bool]]:
    """With a 0 added, so that the index of categories is not walked."""
    if shape.categories is None:
        return []
    return [is_one_of(table.c.category_id + literal(0, BigInteger), in_sqlite=in_sqlite)]


def _conditions(table: FromClause, shape: Shape) -> list[ColumnElement[bool]]:
    conditions = [table.c.deleted_at.is_(None), *_prices(table, shape)]
    conditions += [_mentions(table, place) for place in range(shape.words)]
    if shape.in_stock is not None:
        is_there = table.c.on_hand > table.c.reserved
        conditions.append(is_there if shape.in_stock else ~is_there)
    if shape.has_seller:
        conditions.append(table.c.seller_id == bindparam("seller_id", type_=BigInteger))
    return conditions


def _prices(table: FromClause, shape: Shape) -> list[ColumnElement[bool]]:
    """With a 0 added where the index of prices is not to be walked."""
    price: ColumnElement[int] = table.c.price_cents
    if shape.sort != "price" and not shape.few_priced:
        price = price + literal(0, BigInteger)
    conditions = []
    if shape.has_lowest:
        conditions.append(price >= bindparam("lowest", type_=BigInteger))
    if shape.has_highest:
        conditions.append(price <= bindparam("highest", type_=BigInteger))
    return conditions


def _mentions(table: FromClause, place: int) -> ColumnElement[bool]:
    """The word stands somewhere in the product's text.

    Both databases fold the case of ASCII letters alike; of others PostgreSQL folds more.
    """
    pattern = func.lower(bindparam(f"word_{place}", type_=String), type_=String)
    return or_(
        *(
            func.lower(column, type_=String).like(pattern, escape="/")
            for column in (table.c.name, table.c.description, table.c.sku)
        )
    )
