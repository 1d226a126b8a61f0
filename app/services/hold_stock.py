"""Stock that an order holds, gives back, sells or takes again.

Each change is one conditional UPDATE whose row count is checked, products in the order of their
ids, with a typed movement beside it. Nothing here reads a count and decides on it later.
"""

from collections.abc import Iterable, Mapping, Sequence
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


_STANDING = (
    Product.id,
    Product.seller_id,
    Product.name,
    Product.price_cents,
    Product.low_stock_threshold,
    (Product.on_hand - Product.reserved).label("left"),
)
"""What a statement that changes a product's counts gives back: a HeldProduct."""

_QUANTITY = bindparam("quantity", type_=Integer)
_PRODUCT = table_of(Product).c
_SHOWN = (
    _PRODUCT.id,
    _PRODUCT.seller_id,
    _PRODUCT.name,
    _PRODUCT.price_cents,
    _PRODUCT.low_stock_threshold,
    (_PRODUCT.on_hand - _PRODUCT.reserved).label("left"),
)
_TAKE = Prepared(
    update(table_of(Product))
    .where(
        _PRODUCT.id == bindparam("product_id", type_=BigInteger),
        _PRODUCT.deleted_at.is_(None),
        _PRODUCT.on_hand - _PRODUCT.reserved >= _QUANTITY,
    )
    .values(reserved=_PRODUCT.reserved + _QUANTITY, version=_PRODUCT.version + 1)
    .returning(*_SHOWN)
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
        select(*_SHOWN).where(
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
        _tell_if_low(session, held[product_id], quantity, now)


def release_stock(session: Session, order_id: int, now: datetime) -> None:
    """Give back what the order holds; what was given back or sold before is left alone."""
    for product_id, quantity in _end(session, order_id, ReservationState.RELEASED, now):
        _move(session, product_id, on_hand=0, reserved=-quantity)
        _record(session, order_id, product_id, MovementKind.RELEASE, now, reserved=-quantity)
    session.flush()


def sell_held_stock(session: Session, order_id: int, now: datetime) -> None:
    """The order is paid: what it holds leaves the shelf."""
    for product_id, quantity in _end(session, order_id, ReservationState.CONSUMED, now):
        sale = {"on_hand": -quantity, "reserved": -quantity}
        _move(session, product_id, **sale)
        _record(session, order_id, product_id, MovementKind.SALE, now, **sale)
    session.flush()


def sell_again(session: Session, order_id: int, now: datetime) -> bool:
    """Take what the order once held straight off the shelf, all of it or nothing.

    For money that came after the stock had been given back. Answers False, with nothing changed,
    when a product is gone or has too little left.
    """
    wanted = _released_by(session, order_id)
    if not wanted or not _all_there(session, wanted, lock=True):
        return False
    session.execute(
        update(Reservation)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.RELEASED)
        .values(state=ReservationState.CONSUMED, ended_at=now)
        .execution_options(synchronize_session=False)
    )
    for product_id, quantity in sorted(wanted.items()):
        left = _move(session, product_id, on_hand=-quantity, reserved=0)
        _tell_if_low(session, left, quantity, now)
        _record(session, order_id, product_id, MovementKind.LATE_SALE, now, on_hand=-quantity)
    session.flush()
    return True


def could_sell_again(session: Session, order_id: int) -> bool:
    """Whether sell_again would find everything there now; takes and locks nothing."""
    wanted = _released_by(session, order_id)
    return bool(wanted) and _all_there(session, wanted, lock=False)


def restock_order(session: Session, order_id: int, now: datetime) -> None:
    """Put what an order was sold back on the shelf, once: the movement is unique for its order."""
    sold = session.execute(
        select(Reservation.product_id, Reservation.quantity)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.CONSUMED)
        .order_by(Reservation.product_id)
    ).all()
    for product_id, quantity in sold:
        _move(session, product_id, on_hand=quantity, reserved=0)
        _record(session, order_id, product_id, MovementKind.RESTOCK, now, on_hand=quantity)
    session.flush()


def _released_by(session: Session, order_id: int) -> dict[int, int]:
    """What an order held and gave back: ``{product_id: quantity}``."""
    rows = session.execute(
        select(Reservation.product_id, Reservation.quantity)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.RELEASED)
        .order_by(Reservation.product_id)
    )
    return {row.product_id: row.quantity for row in rows}


def _all_there(session: Session, wanted: Mapping[int, int], *, lock: bool) -> bool:
    """Whether each product has enough to sell; locked, in id order, if it is about to be sold."""
    found = (
        select(Product.id, (Product.on_hand - Product.reserved).label("left"))
        .where(Product.id.in_(wanted), Product.deleted_at.is_(None))
        .order_by(Product.id)
    )
    rows = session.execute(found.with_for_update(key_share=True) if lock else found)
    left = {row.id: row.left for row in rows}
    return all(left.get(product_id, 0) >= quantity for product_id, quantity in wanted.items())


def _end(
    session: Session, order_id: int, state: ReservationState, now: datetime
) -> Iterable[tuple[int, int]]:
    """End the order's active reservations, once; answers (product_id, quantity) in id order."""
    ended = session.execute(
        update(Reservation)
        .where(Reservation.order_id == order_id, Reservation.state == ReservationState.ACTIVE)
        .values(state=state, ended_at=now)
        .returning(Reservation.product_id, Reservation.quantity)
        .execution_options(synchronize_session=False)
    )
    return sorted((row.product_id, row.quantity) for row in ended)


def _move(session: Session, product_id: int, *, on_hand: int, reserved: int) -> HeldProduct:
    """Change the counts of a product; answers how it stands after that."""
    row = session.execute(
        update(Product)
        .where(Product.id == product_id)
        .values(
            on_hand=Product.on_hand + on_hand,
            reserved=Product.reserved + reserved,
            version=Product.version + 1,
        )
        .returning(*_STANDING)
        .execution_options(synchronize_session=False)
    ).one()
    return HeldProduct(*row)


def _tell_if_low(session: Session, product: HeldProduct, taken: int, now: datetime) -> None:
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


def _record(
    session: Session,
    order_id: int,
    product_id: int,
    kind: MovementKind,
    now: datetime,
    *,
    on_hand: int = 0,
    reserved: int = 0,
) -> None:
    session.add(
        StockMovement(
            order_id=order_id,
            product_id=product_id,
            kind=kind,
            on_hand_delta=on_hand,
            reserved_delta=reserved,
            created_at=now,
        )
    )
