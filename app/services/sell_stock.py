"""Held stock that is given back, sold, taken again, or put back on the shelf.

The rules are those of app/services/hold_stock.py.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models import MovementKind, Product, Reservation, ReservationState, StockMovement
from app.services.hold_stock import STANDING, HeldProduct, tell_if_low


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
        tell_if_low(session, left, quantity, now)
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
        .returning(*STANDING)
        .execution_options(synchronize_session=False)
    ).one()
    return HeldProduct(*row)


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
