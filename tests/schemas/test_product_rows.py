"""The short way to the wire says what the schema says, byte for byte."""

from datetime import UTC, datetime

import pytest

from app.models.base import MAX_CENTS
from app.models.item import MAX_STOCK
from app.schemas.item import ProductSchema
from app.schemas.product_rows import product_on_wire
from app.services.find_product import find_product
from app.services.list_products import ProductFilter, list_products
from app.services.pages import PageRequest
from app.services.product_rows import find_product_row, find_product_rows
from app.utils.json_provider import to_json
from tests.factories import make_category, make_product

ODD = [
    {},
    {"price_cents": 0},
    {"price_cents": 1},
    {"price_cents": 10},
    {"price_cents": 149_950},
    {"price_cents": MAX_CENTS},
    {"price_cents": 33_333_333_333},
    {"stock": 0},
    {"stock": MAX_STOCK, "reserved": 1},
    {"stock": 3, "reserved": 3},
    {"rating_sum": 1, "rating_count": 1},
    {"rating_sum": 9, "rating_count": 2},
    {"rating_sum": 13, "rating_count": 3},
    {"rating_sum": 17, "rating_count": 4},
    {"name": "é ñ 日本語 \U0001f9e1 \u200d", "sku": 'a"b\\c/d'},
    {"name": "</script>&<b>", "description": "one\ntwo\tthree \\n \u2028\u2029\x7f"},
    {"description": "x" * 10_000},
    {"image_url": "https://shop.example/a%20b?c=d&e='f'"},
    {"image_url": "/media/1/320.webp"},
    {"created_at": datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC)},
    {"updated_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)},
    {"created_at": datetime(1000, 1, 1, tzinfo=UTC)},
]


@pytest.mark.parametrize("fields", ODD, ids=lambda fields: ",".join(fields) or "plain")
def test_a_row_and_the_schema_say_the_same_of_an_odd_product(session, fields):
    shelf = make_category(session, "Shoes & boots")
    for category in (None, shelf):
        product = make_product(session, **fields, category_id=category.id if category else None)
        session.expire_all()
        expected = to_json(ProductSchema().dump(find_product(session, product.id)))
        alone = find_product_row(session, product.id)
        listed = list_products(session, ProductFilter(), PageRequest(100)).rows
        assert to_json(product_on_wire(alone)) == expected
        assert find_product_rows(session, [product.id]) == [alone]
        assert alone in listed


def test_rows_that_are_asked_for_come_in_that_order_without_those_that_are_gone(session):
    one, gone, other = (make_product(session) for _ in range(3))
    gone.deleted_at = gone.created_at
    session.flush()
    rows = find_product_rows(session, [other.id, gone.id, 999, one.id])
    assert [row.id for row in rows] == [other.id, one.id]
    assert find_product_rows(session, []) == []
