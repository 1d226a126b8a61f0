"""Stock that an order holds; app/services/sell_stock.py says what becomes of it.

Each change is one conditional UPDATE whose row count is checked, products in the order of their
ids, with a typed movement beside it. Nothing here reads a count and decides on it later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import BigInteger, Integer, bindparam, select, update
from sqlalchemy.orm import Session

from app.asking import Prepared, PreparedRows, is_sqlite
from app.models import MovementKind, Product, Reservation, ReservationState, StockMovement
from app.models.base import table_of
from app.services.low_stock import Fall, tell_low_stock
from app.services.product_rows import id_list, is_one_of


@dataclass(frozen=True, slots=True)
class HeldProduct:
    """A product at the moment when units of it were held, and how many can be bought now."""

    product_id: int
    seller_id: int
    name: str
    price_cents: int
    low_stock_threshold: int | None
    left: int


_QUANTITY = bindparam("quantity", type_=Integer)
_PRODUCT = table_of(Product).c
STANDING = (
    _PRODUCT.id,
    _PRODUCT.seller_id,
    _PRODUCT.name,
    _PRODUCT.price_cents,
    _PRODUCT.low_stock_threshold,
    (_PRODUCT.on_hand - _PRODUCT.reserved).label("left"),
)
"""What a statement about a product gives back: a HeldProduct."""

_TAKE = Prepared(
    update(table_of(Product))
    .where(
        _PRODUCT.id == bindparam("product_id", type_=BigInteger),
        _PRODUCT.deleted_at.is_(None),
        _PRODUCT.on_hand - _PRODUCT.reserved >= _QUANTITY,
    )
    .values(reserved=_PRODUCT.reserved + _QUANTITY, version=_PRODUCT.version + 1)
    .returning(*STANDING)
)
_RESERVE = PreparedRows(
    table_of(Reservation), "order_id", "product_id", "quantity", "state", "created_at"
)
_HOLD = PreparedRows(
    table_of(StockMovement),
    *("order_id", "product_id", "kind", "on_hand_delta", "reserved_delta", "created_at"),
)


@cache
def _offered(*, in_sqlite: bool) -> Prepared:
    return Prepared(
        select(*STANDING).where(
            is_one_of(_PRODUCT.id, in_sqlite=in_sqlite), _PRODUCT.deleted_at.is_(None)
        )
    )


def find_offers(session: Session, product_ids: Sequence[int]) -> dict[int, HeldProduct]:
    """What is for sale among these, as it stands; nothing is held, and anybody may be quicker."""
    statement = _offered(in_sqlite=is_sqlite(session))
    rows = statement.rows(session, ids=id_list(session, product_ids))
    return {row[0]: HeldProduct(*row) for row in rows}


def take_units(session: Session, wanted: Mapping[int, int]) -> dict[int, HeldProduct]:
    """Promise units to an order: ``{product_id: quantity}``.

    From here on every other buyer of these products waits for the end of the transaction.

    A product that is missing from the answer is gone or has too little left; the caller then
    raises, and the transaction gives everything back.
    """
    taken = {}
    for product_id in sorted(wanted):
        for row in _TAKE.rows(session, product_id=product_id, quantity=wanted[product_id]):
            taken[product_id] = HeldProduct(*row)
    return taken


def record_hold(session: Session, order_id: int, wanted: Mapping[int, int], now: datetime) -> None:
    """Write down which order the units taken belong to."""
    holds = [
        {
            "order_id": order_id,
            "product_id": product_id,
            "quantity": wanted[product_id],
            "state": ReservationState.ACTIVE,
            "kind": MovementKind.HOLD,
            "on_hand_delta": 0,
            "reserved_delta": wanted[product_id],
            "created_at": now,
        }
        for product_id in sorted(wanted)
    ]
    _RESERVE.put(session, holds)
    _HOLD.put(session, holds)


def tell_of_falls(
    session: Session, wanted: Mapping[int, int], held: Mapping[int, HeldProduct], now: datetime
) -> None:
    """Tell the sellers to whom the units taken leave few."""
    for product_id, quantity in wanted.items():
        tell_if_low(session, held[product_id], quantity, now)


def tell_if_low(session: Session, product: HeldProduct, taken: int, now: datetime) -> None:
    """Tell the seller if it is the units just taken that leave few."""
    tell_low_stock(
        session,
        Fall(
            product_id=product.product_id,
            seller_id=product.seller_id,
            name=product.name,
            threshold=product.low_stock_threshold,
            before=product.left + taken,
            left=product.left,
        ),
        now,
    )
