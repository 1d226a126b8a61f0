"""The driver alone, writing what the shop writes: the same rows, transactions and commits.

Nothing is checked but what the statements themselves check, nothing is logged or counted.
"""

import json
import re
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import psycopg
from flask import Blueprint, Response, current_app, request
from sqlalchemy import make_url

from app.db import POSTGRES_OPTIONS, SQLITE_PRAGMAS

writes = Blueprint("bare_writes", __name__)

_here = threading.local()

_COUNT = (
    "INSERT INTO rate_counters (key, hits, expires_at) VALUES (:key, 1, :ends)"
    " ON CONFLICT (key) DO UPDATE SET"
    " hits = CASE WHEN rate_counters.expires_at <= :at THEN 1 ELSE rate_counters.hits + 1 END,"
    " expires_at = CASE WHEN rate_counters.expires_at <= :at THEN :ends"
    " ELSE rate_counters.expires_at END RETURNING hits, expires_at"
)
_SIGN_IN = (
    "SELECT users.id, users.role, users.username FROM users"
    " JOIN login_sessions ON login_sessions.user_id = users.id"
    " WHERE users.id = :user_id AND users.suspended_at IS NULL AND login_sessions.id = :session_id"
    " AND login_sessions.revoked_at IS NULL AND login_sessions.expires_at > :now"
)
_CLAIM_KEY = (
    "INSERT INTO idempotency_keys (user_id, route, key, request_hash, created_at, expires_at)"
    " VALUES (:user_id, 'POST /api/orders', :key, :hash, :now, :later)"
    " ON CONFLICT (user_id, route, key) DO NOTHING RETURNING id"
)
_LOCK_BUYER = "SELECT id FROM users WHERE id = :user_id FOR NO KEY UPDATE"
_COUNT_OPEN = "SELECT count(*) FROM orders WHERE user_id = :user_id AND status = 'pending'"
_OFFERS = (
    "SELECT id, seller_id, name, price_cents, low_stock_threshold, on_hand - reserved FROM products"
    " WHERE id IN (:product_0, :product_1) AND deleted_at IS NULL"
)
_HOLD = (
    "UPDATE products SET reserved = reserved + 1, version = version + 1 WHERE id = :product_id"
    " AND deleted_at IS NULL AND on_hand - reserved >= 1 RETURNING id, seller_id, name,"
    " price_cents, low_stock_threshold, on_hand - reserved"
)
_ORDER = (
    "INSERT INTO orders (number, user_id, status, total_cents, created_at, updated_at, expires_at)"
    " VALUES (:number, :user_id, 'pending', :total, :now, :now, :later) RETURNING id"
)
_LINES = (
    "INSERT INTO order_lines (order_id, product_id, seller_id, position, product_name, quantity,"
    " unit_price_cents) VALUES "
)
_LINE = "(:order_id, :product_{0}, :seller_{0}, {0}, :name_{0}, 1, :price_{0})"
_RESERVATIONS = (
    "INSERT INTO reservations (order_id, product_id, quantity, state, created_at) VALUES "
)
_RESERVATION = "(:order_id, :product_{0}, 1, 'active', :now)"
_MOVEMENTS = (
    "INSERT INTO stock_movements (product_id, order_id, kind, on_hand_delta, reserved_delta,"
    " created_at) VALUES "
)
_MOVEMENT = "(:product_{0}, :order_id, 'hold', 0, 1, :now)"
_EVENT = (
    "INSERT INTO order_events (order_id, from_status, to_status, actor_id, created_at)"
    " VALUES (:order_id, NULL, 'pending', :user_id, :now)"
)
_ENDPOINTS = (
    "SELECT id, event_types, disabled_at FROM webhook_endpoints WHERE removed_at IS NULL"
    " ORDER BY id"
)
_KEEP_ANSWER = (
    "UPDATE idempotency_keys SET status = 201, body = :body, location = :location"
    " WHERE id = :key_id AND status IS NULL RETURNING id"
)


@writes.post("/orders")
def place() -> Response:
    """Two lines, in the order in which the shop does it."""
    asked = request.get_json()
    wanted = [line["product_id"] for line in asked["products"]]
    moment = datetime.now(UTC)
    values: dict[str, Any] = {
        "user_id": asked["user_id"],
        "session_id": asked["session_id"],
        "key": request.headers["Idempotency-Key"],
        "hash": "0" * 64,
        "now": _moment(moment),
        "later": _moment(moment + timedelta(minutes=15)),
        **{f"product_{at}": product_id for at, product_id in enumerate(wanted)},
    }
    aside = _connection(lasting=False)
    if asked["is_counted"]:
        at = moment.timestamp()
        _run(aside, _COUNT, {"key": f"bare:{asked['user_id']}", "at": at, "ends": at + 60})
    _run(aside, _SIGN_IN, values)
    connection = _connection()
    _begin(connection)
    body = _place_in_transaction(connection, wanted, values)
    connection.execute("COMMIT")
    return Response(body, 201, mimetype="application/json")


def _place_in_transaction(connection: Any, wanted: list[int], values: dict[str, Any]) -> str:
    ((key_id,),) = _run(connection, _CLAIM_KEY, values)
    if not _is_sqlite(connection):
        _run(connection, _LOCK_BUYER, values)
    _run(connection, _COUNT_OPEN, values)
    offers = {row[0]: row for row in _run(connection, _OFFERS, values)}
    values["number"] = token_hex(6).upper()
    values["total"] = sum(row[3] for row in offers.values())
    ((order_id,),) = _run(connection, _ORDER, values)
    values["order_id"] = order_id
    _run(connection, _EVENT, values)
    _run(connection, _ENDPOINTS, values)
    body = json.dumps(
        {"id": order_id, "number": values["number"], "products": wanted, "": "x" * 500}
    )
    kept = {"body": body, "location": f"/api/orders/{order_id}", "key_id": key_id}
    _run(connection, _KEEP_ANSWER, kept)
    for product_id in sorted(wanted):
        _run(connection, _HOLD, {"product_id": product_id})
    for at, product_id in enumerate(wanted):
        _, seller_id, name, price, *_ = offers[product_id]
        values |= {f"seller_{at}": seller_id, f"name_{at}": name, f"price_{at}": price}
    for head, row in (
        (_LINES, _LINE),
        (_RESERVATIONS, _RESERVATION),
        (_MOVEMENTS, _MOVEMENT),
    ):
        _run(connection, head + ", ".join(row.format(at) for at in range(len(wanted))), values)
    return body


_MESSAGE = (
    "INSERT INTO callback_inbox (source, payment_id, body, truncated, headers, remote_addr,"
    " received_at, attempts) VALUES ('stk_callback', :payment_id, :body, :truncated, :headers,"
    " :remote_addr, :now, 0) RETURNING id"
)


@writes.post("/callbacks/<int:payment_id>")
def keep(payment_id: int) -> Response:
    connection = _connection()
    _begin(connection)
    values = {
        "payment_id": payment_id,
        "body": request.get_data(),
        "truncated": False,
        "headers": json.dumps({"content-type": request.headers["Content-Type"]}),
        "remote_addr": request.remote_addr,
        "now": _moment(datetime.now(UTC)),
    }
    _run(connection, _MESSAGE, values)
    connection.execute("COMMIT")
    return Response(b'{"ResultCode":0,"ResultDesc":"Accepted"}', mimetype="application/json")


def _connection(*, lasting: bool = True) -> Any:
    """One a thread, and another for what need not wait for the disk, as the shop has; the driver
    prepares what recurs by itself.
    """
    name = "lasting" if lasting else "aside"
    connection = getattr(_here, name, None)
    if connection is None:
        url = make_url(current_app.config["DATABASE_URL"])
        if url.get_backend_name() == "sqlite":
            connection = sqlite3.connect(str(url.database), isolation_level=None, timeout=10)
            for pragma in SQLITE_PRAGMAS if lasting else (*SQLITE_PRAGMAS, "synchronous=NORMAL"):
                connection.execute(f"PRAGMA {pragma}")
        else:
            dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
            options = POSTGRES_OPTIONS + ("" if lasting else " -c synchronous_commit=off")
            connection = psycopg.connect(dsn, autocommit=True, options=options)
        setattr(_here, name, connection)
    return connection


def _is_sqlite(connection: Any) -> bool:
    return isinstance(connection, sqlite3.Connection)


def _begin(connection: Any) -> None:
    connection.execute("BEGIN IMMEDIATE" if _is_sqlite(connection) else "BEGIN")


_NAME = re.compile(r":(\w+)")
_words: dict[str, str] = {}


def _run(connection: Any, statement: str, values: dict[str, Any]) -> list[Any]:
    if _is_sqlite(connection):
        return list(connection.execute(statement, values).fetchall())
    known = _words.get(statement)
    if known is None:
        known = _words[statement] = _NAME.sub(r"%(\1)s", statement)
    cursor = connection.execute(known, values)
    return list(cursor.fetchall()) if cursor.description else []


def _moment(value: datetime) -> Any:
    """As the shop's own database keeps it."""
    if make_url(current_app.config["DATABASE_URL"]).get_backend_name() != "sqlite":
        return value
    return value.strftime("%Y-%m-%d %H:%M:%S.%f")
