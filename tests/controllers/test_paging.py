"""Lists by keyset: every row once, in order, whatever the cursor is made of."""

import base64
import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import InvalidInput
from app.models import Product
from app.services.pages import PageRequest, SortKey, paginate
from tests.factories import NOW, ids, make_product, make_user

BY_ID = [SortKey(Product.id)]
NEWEST = [SortKey(Product.created_at, descending=True), SortKey(Product.id, descending=True)]
BY_NAME = [SortKey(Product.name), SortKey(Product.id)]
CHEAPEST_NEWEST = [SortKey(Product.price_cents), SortKey(Product.id, descending=True)]


@pytest.fixture
def products(session):
    seller = make_user(session, "seller")
    return [
        make_product(
            session,
            seller,
            stock=0,
            name=f"Thing {number % 3}",
            price_cents=100 * (number % 4 + 1),
            created_at=NOW + timedelta(microseconds=number % 5),
        )
        for number in range(23)
    ]


def walk(session, statement, keys, limit):
    """Every page in turn."""
    cursor, pages = None, []
    while True:
        page = paginate(session, statement, keys, PageRequest(limit, cursor))
        pages.append(page.rows)
        cursor = page.next_cursor
        if cursor is None:
            return pages


def sorted_by(products, *keys):
    rows = list(products)
    for key, reverse in reversed(keys):
        rows.sort(key=key, reverse=reverse)
    return ids(rows)


@pytest.mark.parametrize("limit", [1, 5, 22, 23, 24])
@pytest.mark.parametrize(
    ("keys", "order"),
    [
        (BY_ID, [(lambda p: p.id, False)]),
        (NEWEST, [(lambda p: p.created_at, True), (lambda p: p.id, True)]),
        (BY_NAME, [(lambda p: p.name, False), (lambda p: p.id, False)]),
        (CHEAPEST_NEWEST, [(lambda p: p.price_cents, False), (lambda p: p.id, True)]),
    ],
)
def test_walking_the_pages_meets_every_row_once_and_in_order(session, products, keys, order, limit):
    pages = walk(session, select(Product), keys, limit)
    assert [row.id for page in pages for row in page] == sorted_by(products, *order)
    assert all(len(page) == limit for page in pages[:-1])


def test_a_row_that_is_added_meanwhile_repeats_nobody(session, products):
    first = paginate(session, select(Product), NEWEST, PageRequest(10))
    make_product(session, make_user(session, "seller"), stock=0, created_at=NOW + timedelta(days=1))
    second = paginate(session, select(Product), NEWEST, PageRequest(50, first.next_cursor))
    assert len(second.rows) == 13
    assert not set(ids(first.rows)) & set(ids(second.rows))


def test_several_columns_come_as_tuples(session, products):
    page = paginate(session, select(Product.id, Product.name), BY_ID, PageRequest(1))
    assert page.rows == [(products[0].id, "Thing 0")]


def test_the_total_is_counted_when_it_is_asked_for(session, products):
    statement = select(Product).where(Product.price_cents == 100)
    assert paginate(session, statement, BY_ID, PageRequest(2)).total is None
    assert paginate(session, statement, BY_ID, PageRequest(2, None, include_total=True)).total == 6


def cursor_of(document) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "AAAA",
        "a" * 5000,
        cursor_of(1),
        cursor_of([]),
        cursor_of({"a": 1}),
        cursor_of(["id"]),
        cursor_of(["-id", 1]),
        cursor_of(["id", "1"]),
        cursor_of(["id", True]),
        cursor_of(["id", None]),
        cursor_of(["id", 2**63]),
        cursor_of(["id", 1, 2]),
        cursor_of(["id", [1]]),
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(session, cursor):
    with pytest.raises(InvalidInput) as refusal:
        paginate(session, select(Product), BY_ID, PageRequest(10, cursor))
    assert [error["field"] for error in refusal.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (NEWEST[:1], {"at": "2026-11-22T09:30:00"}),
        (NEWEST[:1], {"at": 1}),
        (NEWEST[:1], {}),
        (NEWEST[:1], "2026-11-22T09:30:00Z"),
        (BY_NAME[:1], "a\0b"),
    ],
)
def test_a_cursor_of_another_type_is_refused(session, keys, value):
    order = "-created_at" if keys[0].descending else "name"
    with pytest.raises(InvalidInput):
        paginate(session, select(Product), keys, PageRequest(10, cursor_of([order, value])))


def test_a_list_answers_with_its_page_and_a_link_to_the_next(client, database):
    with database.transaction() as session:
        seller = make_user(session, "seller")
        products = [make_product(session, seller) for _ in range(5)]
    first = client.get("/api/items?limit=2&in_stock=true&sort=created_at")
    assert [row["id"] for row in first.json["data"]] == ids(products[:2])
    assert first.json["page"]["has_more"] is True
    link = first.headers["Link"]
    assert link.startswith("</api/items?limit=2&in_stock=true&sort=created_at&cursor=")
    assert link.endswith('>; rel="next"')
    second = client.get(link[1 : link.index(">")])
    assert [row["id"] for row in second.json["data"]] == ids(products[2:4])
    third = client.get(f"/api/items?limit=2&sort=created_at&cursor={second.json['page']['next']}")
    assert [row["id"] for row in third.json["data"]] == ids(products[4:])
    assert third.json["page"] == {"next": None, "has_more": False}
    assert "Link" not in third.headers


def test_the_total_is_given_beside(client, database):
    with database.transaction() as session:
        make_product(session)
    page = client.get("/api/items?include_total=true").json["page"]
    assert page == {"next": None, "has_more": False, "total": 1}


@pytest.mark.parametrize("limit", ["0", "-1", "101", "x", "1.5", "", "\u0665", "1_0", "9" * 40])
def test_a_limit_out_of_bounds_is_refused(client, limit):
    response = client.get(f"/api/items?limit={limit}")
    assert response.status_code == 400
    assert [error["field"] for error in response.json["errors"]] == ["limit"]
