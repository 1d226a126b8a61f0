"""The invariants of stock: I3 and I4."""

from collections.abc import Iterator

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    Order,
    OrderStatus,
    Product,
    Reservation,
    ReservationState,
    StockMovement,
)
from app.services.audit.finding import Finding


def find_wrong_reservations(session: Session) -> Iterator[Finding]:
    active = (
        select(Reservation.product_id, func.sum(Reservation.quantity).label("units"))
        .where(Reservation.state == ReservationState.ACTIVE)
        .group_by(Reservation.product_id)
        .subquery()
    )
    held = func.coalesce(active.c.units, 0)
    for row in session.execute(
        select(Product.id, Product.on_hand, Product.reserved, held.label("held"))
        .outerjoin(active, active.c.product_id == Product.id)
        .where(
            or_(
                Product.reserved != held,
                Product.reserved < 0,
                Product.on_hand < Product.reserved,
            )
        )
        .order_by(Product.id)
    ):
        yield Finding(
            "I3",
            f"product {row.id}",
            f"on_hand {row.on_hand}, reserved {row.reserved}, active reservations {row.held}",
        )
    yield from _find_reservations_of_ended_orders(session)


def _find_reservations_of_ended_orders(session: Session) -> Iterator[Finding]:
    """An order that awaits money holds its stock; one that has ended holds none."""
    wrong = or_(
        and_(Order.status == OrderStatus.PENDING, Reservation.state != ReservationState.ACTIVE),
        and_(Order.status != OrderStatus.PENDING, Reservation.state == ReservationState.ACTIVE),
    )
    for row in session.execute(
        select(Order.id, Order.status, Reservation.product_id, Reservation.state)
        .join(Reservation, Reservation.order_id == Order.id)
        .where(wrong)
        .order_by(Order.id, Reservation.product_id)
    ):
        yield Finding(
            "I3",
            f"order {row.id}",
            f"is {row.status} while its reservation of product {row.product_id} is {row.state}",
        )


def find_wrong_movements(session: Session) -> Iterator[Finding]:
    moved = select(
        StockMovement.product_id,
        func.sum(StockMovement.on_hand_delta).label("on_hand"),
        func.sum(StockMovement.reserved_delta).label("reserved"),
    ).group_by(StockMovement.product_id)
    sums = moved.subquery()
    on_hand = func.coalesce(sums.c.on_hand, 0)
    reserved = func.coalesce(sums.c.reserved, 0)
    for row in session.execute(
        select(
            Product.id,
            Product.on_hand,
            Product.reserved,
            on_hand.label("moved_on_hand"),
            reserved.label("moved_reserved"),
        )
        .outerjoin(sums, sums.c.product_id == Product.id)
        .where(or_(Product.on_hand != on_hand, Product.reserved != reserved))
        .order_by(Product.id)
    ):
        yield Finding(
            "I4",
            f"product {row.id}",
            f"on_hand {row.on_hand} and reserved {row.reserved}, but its movements add up to"
            f" {row.moved_on_hand} and {row.moved_reserved}",
        )
