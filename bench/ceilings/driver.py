"""The driver alone: the statement of a read, and its rows made into the same bytes, no more."""

import sqlite3
import threading
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from flask import Blueprint, Response

from app.db import current_database
from app.security import public
from bench.fill import plain_dsn

driver = Blueprint("bench_driver", __name__)

_FIELDS = (
    "p.id, p.name, p.price_cents, p.description, p.on_hand - p.reserved, c.slug, p.image_url,"
    " p.rating_sum, p.rating_count, p.seller_id, p.sku, p.created_at, p.updated_at"
)
_FROM = "FROM products AS p LEFT JOIN categories AS c ON c.id = p.category_id"
_PAGE = (
    f"SELECT {_FIELDS} {_FROM} WHERE p.deleted_at IS NULL"
    " ORDER BY p.created_at DESC, p.id DESC LIMIT 21"
)
_ONE = f"SELECT {_FIELDS} {_FROM} WHERE p.deleted_at IS NULL AND p.id = {{place}}"
_PAGE_LENGTH = 20
_here = threading.local()


@driver.get("/driver/items")
@public
def page() -> Response:
    found = _rows(_PAGE)
    rows = found[:_PAGE_LENGTH]
    last = rows[-1]
    document = {
        "data": [_product(row) for row in rows],
        "page": {"next": f"{last[11]},{last[0]}", "has_more": len(found) > len(rows)},
    }
    return Response(orjson.dumps(document), mimetype="application/json")


@driver.get("/driver/items/<int:product_id>")
@public
def one(product_id: int) -> Response:
    place = "?" if current_database().is_sqlite else "%s"
    (row,) = _rows(_ONE.format(place=place), product_id)
    return Response(orjson.dumps(_product(row)), mimetype="application/json")


def _rows(statement: str, *values: object) -> list[Any]:
    """One connection a thread, outside transactions; the driver prepares what recurs by itself."""
    connection = getattr(_here, "connection", None)
    if connection is None:
        database = current_database()
        connection = _here.connection = (
            sqlite3.connect(str(database.url.database), isolation_level=None)
            if database.is_sqlite
            else psycopg.connect(plain_dsn(database), autocommit=True)
        )
    return list(connection.execute(statement, values).fetchall())


def _product(row: Any) -> dict[str, Any]:
    (key, name, cents, text, stock, slug, picture, total, count, seller, sku, made, changed) = row
    return {
        "id": key,
        "name": name,
        "price": cents / 100 if cents % 100 else cents // 100,
        "currency": "KES",
        "description": text,
        "stock": stock,
        "category": slug,
        "image_url": picture,
        "rating_average": (20 * total + count) // (2 * count) / 10 if count else None,
        "rating_count": count,
        "seller_id": seller,
        "sku": sku,
        "created_at": _moment(made),
        "updated_at": _moment(changed),
    }


def _moment(value: datetime | str) -> str:
    if isinstance(value, str):
        return f"{value[:10]}T{value[11:19]}Z"
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
