"""Each page is what filtering and sorting by hand makes, and is read off an index."""

import random
from dataclasses import replace
from datetime import timedelta
from itertools import product as every_combination

import pytest
from sqlalchemy import func, insert, select, text

from app.asking import is_sqlite
from app.models import Category, Product
from app.services import list_products as module
from app.services.list_products import (
    ProductFilter,
    ProductSort,
    count_products,
    list_products,
)
from app.services.pages import PageRequest
from app.services.product_pages import Shape, page_statement
from tests.factories import NOW, ids, make_category, make_product, make_user

WORDS = ["boot", "Hat", "café", "100%_/", "shoe"]


@pytest.fixture
def shop(session):
    """Sixty products on six shelves of three floors, of three sellers, with much that is equal."""
    draw = random.Random(7)
    floors = [make_category(session, f"Floor {number}") for number in range(3)]
    shelves = [make_category(session, f"Shelf {n}", floors[n % 3]) for n in range(6)]
    sellers = [make_user(session, "seller") for _ in range(3)]
    for number in range(60):
        make_product(
            session,
            draw.choice(sellers),
            name=f"{draw.choice(WORDS)} {draw.choice('ABab')}",
            description=draw.choice(["", "a boot", "Warm"]),
            sku=draw.choice([None, f"hat-{number}"]),
            price_cents=draw.choice([100, 250, 250, 9_900]),
            stock=draw.choice([0, 2]),
            reserved=0,
            category_id=draw.choice([*shelves, floors[0]]).id if number % 5 else None,
            created_at=NOW + timedelta(microseconds=draw.randint(0, 9)),
            deleted_at=NOW if number % 11 == 0 else None,
        )
    return floors, shelves, sellers


def by_hand(session, wanted: ProductFilter) -> list[int]:
    """The ids of all pages, by a loop over all products."""
    within: set[int] = set()
    if wanted.category is not None:
        tops = select(Category.id).where(Category.slug == wanted.category)
        within = set(session.scalars(tops))
        within |= set(session.scalars(select(Category.id).where(Category.parent_id.in_(within))))
    lower = {
        row.id: row.name
        for row in session.execute(select(Product.id, func.lower(Product.name).label("name")))
    }
    found = [
        product
        for product in session.scalars(select(Product).where(Product.deleted_at.is_(None)))
        if (wanted.category is None or product.category_id in within)
        and (wanted.seller_id is None or product.seller_id == wanted.seller_id)
        and (wanted.min_price_cents is None or product.price_cents >= wanted.min_price_cents)
        and (wanted.max_price_cents is None or product.price_cents <= wanted.max_price_cents)
        and (wanted.in_stock is None or (product.available > 0) is wanted.in_stock)
        and all(
            any(
                word.lower() in said.lower()
                for said in (product.name, product.description, product.sku or "")
            )
            for word in wanted.words
        )
    ]
    keys = {
        "name": lambda one: (order[lower[one.id]], one.id),
        "price": lambda one: (one.price_cents, one.id),
        "created_at": lambda one: (one.created_at, one.id),
    }
    # The database's own order of words, whatever its language.
    names = session.execute(select(func.lower(Product.name)).distinct().order_by(text("1")))
    order = {name: place for place, (name,) in enumerate(names)}
    key = keys[wanted.sort.removeprefix("-")]
    return ids(sorted(found, key=key, reverse=wanted.sort.startswith("-")))


def by_pages(session, wanted: ProductFilter, limit: int) -> list[int]:
    cursor, seen = None, []
    while True:
        page = list_products(session, wanted, PageRequest(limit, cursor))
        seen += ids(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            return seen


@pytest.mark.parametrize("few_priced", [0, 2_000])
@pytest.mark.parametrize("sort", list(ProductSort))
def test_every_filter_in_every_order_is_what_a_loop_over_all_makes(
    session, shop, sort, few_priced, monkeypatch
):
    """With few at a price, and as if there were many."""
    monkeypatch.setattr(module, "FEW_PRICED", few_priced)
    floors, shelves, sellers = shop
    questions = list(
        every_combination(
            (None, floors[0].slug, shelves[4].slug, "no-such-shelf"),
            (None, sellers[0].id),
            ((None, None), (200, None), (100, 250), (10_000, None)),
            (None, True, False),
            ((), ("BOOT",), ("100%_/", "a")),
        )
    )
    some = random.Random(sort).sample(questions, 60)  # all of them, over the orders
    for category, seller, prices, in_stock, words in some:
        wanted = ProductFilter(category, words, *prices, in_stock, seller, sort)
        expected = by_hand(session, wanted)
        assert by_pages(session, wanted, 7) == expected, wanted
        assert count_products(session, wanted) == len(expected), wanted


def test_a_reader_outside_transactions_answers_alike(database):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        made = [make_product(session, category_id=shoes.id, price_cents=100) for _ in range(3)]
    for wanted in (
        ProductFilter(),
        ProductFilter(shoes.slug, min_price_cents=50),
        ProductFilter(seller_id=made[0].seller_id),
    ):
        for limit in (1, 3):
            request = PageRequest(limit, include_total=True)
            page = list_products(database.asking, wanted, request)
            with database.reading() as session:
                assert list_products(session, wanted, request) == page


def test_more_categories_than_are_walked_side_by_side(session, shop, monkeypatch):
    monkeypatch.setattr(module, "MOST_WALKED", 1)
    monkeypatch.setattr("app.services.product_pages.MOST_WALKED", 1)
    page_statement.cache_clear()
    wanted = ProductFilter(shop[0][0].slug, sort=ProductSort.PRICE)
    try:
        assert by_pages(session, wanted, 4) == by_hand(session, wanted)
    finally:
        page_statement.cache_clear()


ALL = Shape("created_at", descending=True)
INDEXES = {
    "created_at": "created_at_id",
    "price": "price_cents_id",
    "name": "lower_name_id",
}


SHAPES = [
    (
        where,
        Shape(
            sort,
            descending=descending,
            categories=2 if where == "category_id_" else None,
            has_seller=where == "seller_id_",
            has_lowest=sort != "price",
            in_stock=True,
            is_after=is_after,
        ),
    )
    for where, sort, descending, is_after in every_combination(
        ("", "category_id_", "seller_id_"), INDEXES, (False, True), (False, True)
    )
]


def test_each_list_is_read_off_the_index_of_its_order(session, big_shop):
    """What is sorted after that are the few of the page, not the catalogue."""
    for where, shape in SHAPES:
        told = plan_of(session, shape, big_shop)
        index = f"ix_products_{where}{INDEXES[shape.sort]}"
        assert index in told, shape
        if is_sqlite(session):
            assert "SCAN products\n" not in f"{told}\n", shape
            assert told.count(index) == (2 if where == "category_id_" else 1), shape


@pytest.fixture
def big_shop(session):
    """What ``plan_of`` looks for, in a catalogue that is worth an index."""
    sellers = [make_user(session, "seller").id for _ in range(25)]
    shelves = [make_category(session, f"Shelf {n}").id for n in range(25)]
    rows = [
        {
            "seller_id": sellers[number % 25],
            "category_id": shelves[number // 25 % 25],
            "name": f"{WORDS[number % 4]} {number}",
            "description": "",
            "price_cents": 100 + number % 300,
            "stock": number % 3,
            "reserved": 0,
            "created_at": NOW + timedelta(seconds=number - 500),
            "updated_at": NOW,
        }
        for number in range(1000)
    ]
    session.execute(insert(Product), rows)
    session.execute(text("ANALYZE"))
    return {"category_0": shelves[0], "category_1": shelves[1], "seller_id": sellers[0]}


def plan_of(session, shape: Shape, wanted: dict[str, int]) -> str:
    """As a catalogue of a million has it, to which that of the test is small."""
    first = {"created_at": NOW, "price": 250, "name": "boot"}[shape.sort]
    values = {"lowest": 1, "row_limit": 21, **wanted}
    values |= {"after_0": first, "after_1": 9}
    values["ids"] = "[1,2]" if is_sqlite(session) else [1, 2]
    compiled = page_statement(shape, in_sqlite=is_sqlite(session))._for(session.get_bind().dialect)
    given = {name: value for name, value in values.items() if name in compiled._known}
    if not is_sqlite(session):
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            session.execute(text(f"SET LOCAL {setting} = off"))
    explain = "EXPLAIN QUERY PLAN " if is_sqlite(session) else "EXPLAIN "
    rows = session.connection().exec_driver_sql(explain + compiled.text, compiled.values(given))
    return "\n".join(str(row[-1]) for row in rows)


def test_a_few_prices_are_looked_up_and_many_are_not(session, big_shop):
    few = replace(ALL, has_lowest=True, few_priced=True)
    assert "ix_products_price_cents_id" in plan_of(session, few, big_shop)
    many = replace(ALL, has_lowest=True)
    assert "ix_products_price_cents_id" not in plan_of(session, many, big_shop)
