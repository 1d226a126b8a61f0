"""Buyers who have signed in, goods for them, and what they ask for."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex

from flask import Flask
from sqlalchemy import Connection, exists, func, insert, literal, select
from sqlalchemy.dialects import postgresql

from app.models import LoginSession, MovementKind, Product, StockMovement, User
from app.utils.clock import utc_now
from app.utils.token import init_tokens, make_tokens, new_opaque_id
from bench.ceilings.bare import PREFIX
from bench.load import FRESH, Request
from bench.shop import Shop

BUYERS = 2_000
_PLENTY = 10_000_000
_GOODS = 1_000
_TOKEN_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Buyer:
    user_id: int
    session_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """``products`` are what lies there in plenty."""

    buyers: Sequence[Buyer]
    products: Sequence[int]

    def spread(self, *, bare: bool = False, is_counted: bool = False) -> list[Request]:
        """Orders of two lines, each by another buyer, of whatever they like.

        ``bare``: for the driver alone, which counts for the limits if it is told to.
        """
        draw = random.Random("orders")
        return [
            order(buyer, draw.sample(self.products, 2), bare=bare, is_counted=is_counted)
            for buyer in self.buyers
        ]

    def on_one(self, product_id: int) -> list[Request]:
        """Orders of one unit of the same product, each by another buyer."""
        return [order(buyer, [product_id]) for buyer in self.buyers]


def order(
    buyer: Buyer, products: Sequence[int], *, bare: bool = False, is_counted: bool = False
) -> Request:
    """``bare``: for the driver alone, which believes whoever says who they are."""
    document: dict[str, object] = {
        "products": [{"product_id": product_id, "quantity": 1} for product_id in products]
    }
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Idempotency-Key": FRESH,
    }
    if bare:
        document |= {"user_id": buyer.user_id, "session_id": buyer.session_id}
        document["is_counted"] = is_counted
    else:
        headers["Authorization"] = f"Bearer {buyer.token}"
    path = f"{PREFIX}/orders" if bare else "/api/orders"
    return Request(path, "POST", headers, json.dumps(document))


def gather(shop: Shop) -> Crowd:
    """Who buys and what they buy. Books that were filled by hand are made to add up first."""
    with shop.database.engine.begin() as connection:
        _account_for_shelves(connection)
        sessions = _sign_in(connection, _new_users(connection))
        products = [_new_product(connection, _PLENTY) for _ in range(_GOODS)]
    return Crowd(_buyers_of(shop, sessions), products)


def new_product(shop: Shop, units: int) -> int:
    with shop.database.engine.begin() as connection:
        return _new_product(connection, units)


def _account_for_shelves(connection: Connection) -> None:
    """What bench.fill put on the shelves came without movements."""
    is_told = exists().where(StockMovement.product_id == Product.id)
    moved = select(
        Product.id,
        literal(MovementKind.RECEIPT.value),
        Product.on_hand,
        literal(0),
        Product.created_at,
    ).where(Product.on_hand > 0, ~is_told)
    columns = ["product_id", "kind", "on_hand_delta", "reserved_delta", "created_at"]
    connection.execute(insert(StockMovement).from_select(columns, moved))


def _new_users(connection: Connection) -> list[int]:
    now, run = utc_now(), token_hex(4)
    highest = connection.scalar(select(func.max(User.id))) or 0
    rows = [
        {
            "id": highest + number,
            "username": f"buyer-{run}-{number}",
            "username_key": f"buyer-{run}-{number}",
            "email": f"buyer-{run}-{number}@shop.example",
            "email_key": f"buyer-{run}-{number}@shop.example",
            "password_hash": "none",
            "role": "customer",
            "created_at": now,
            "updated_at": now,
        }
        for number in range(1, BUYERS + 1)
    ]
    connection.execute(insert(User), rows)
    if connection.dialect.name == postgresql.dialect.name:
        sequence = func.pg_get_serial_sequence("users", "id")
        connection.execute(select(func.setval(sequence, highest + BUYERS)))
    return [int(str(row["id"])) for row in rows]


def _sign_in(connection: Connection, users: Sequence[int]) -> list[tuple[int, str]]:
    now = utc_now()
    sessions = [(user_id, new_opaque_id()) for user_id in users]
    rows = [
        {
            "id": session_id,
            "user_id": user_id,
            "refresh_jti": new_opaque_id(),
            "created_at": now,
            "expires_at": now + timedelta(days=30),
        }
        for user_id, session_id in sessions
    ]
    connection.execute(insert(LoginSession), rows)
    return sessions


def _buyers_of(shop: Shop, sessions: Sequence[tuple[int, str]]) -> list[Buyer]:
    """With tokens as the shop's own sign-in makes them, for longer."""
    app = Flask("tokens")
    init_tokens(
        app,
        secret=shop.environment["JWT_SECRET_KEY"],
        access_seconds=_TOKEN_SECONDS,
        refresh_seconds=_TOKEN_SECONDS,
        clock=utc_now,
    )
    with app.app_context():
        return [
            Buyer(
                user_id,
                session_id,
                make_tokens(user_id, session_id, new_opaque_id()).access_token,
            )
            for user_id, session_id in sessions
        ]


def _new_product(connection: Connection, units: int) -> int:
    now = utc_now()
    product_id = connection.execute(
        insert(Product)
        .values(
            seller_id=select(func.min(User.id)).scalar_subquery(),
            name=f"Kiondo {token_hex(3)}",
            price_cents=125_000,
            on_hand=units,
            created_at=now,
            updated_at=now,
        )
        .returning(Product.id)
    ).scalar_one()
    connection.execute(
        insert(StockMovement).values(
            product_id=product_id,
            kind=MovementKind.RECEIPT,
            on_hand_delta=units,
            reserved_delta=0,
            created_at=now,
        )
    )
    return product_id
