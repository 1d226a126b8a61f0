"""What people do to a shelf: goods that come in, break, get lost, are counted."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import MovementKind, Product, StockMovement
from app.models.item import MAX_STOCK
from app.policies import Actor
from app.services.find_product import find_own_product
from app.services.low_stock import Fall, tell_low_stock


class StockReason(StrEnum):
    """Why a person changes a count; kept in the movement's note."""

    RECEIVED = "received"
    RETURNED = "returned"
    FOUND = "found"
    DAMAGED = "damaged"
    LOST = "lost"
    SOLD_ELSEWHERE = "sold_elsewhere"
    MISSING = "missing"


ADDING = frozenset({StockReason.RECEIVED, StockReason.RETURNED, StockReason.FOUND})
"""The other reasons take away."""

BY_HAND = (MovementKind.RECEIPT, MovementKind.ADJUSTMENT)


@dataclass(frozen=True, slots=True)
class StockChange:
    """``quantity`` units come or go, as the reason says. ``seen_change_id`` is the last change by
    hand that the person knew of, 0 for none: a second click, or a second person with the same
    delivery, is refused.
    """

    reason: StockReason
    quantity: int
    seen_change_id: int

    @property
    def delta(self) -> int:
        return self.quantity if self.reason in ADDING else -self.quantity


def adjust_stock(
    session: Session, actor: Actor, product_id: int, change: StockChange, now: datetime
) -> Product:
    """Change what lies on the shelf; what orders hold stays theirs.

    One conditional statement, so that sales in the same moment are neither lost nor stopped.
    Raises NotFound, Forbidden, Conflict ``stock_held`` for taking away more than can be bought,
    ``stock_too_high``, and ``stock_changed`` if somebody else changed it by hand meanwhile.
    """
    product = find_own_product(session, actor, product_id)
    left = session.execute(
        update(Product)
        .where(
            Product.id == product_id,
            Product.deleted_at.is_(None),
            (Product.on_hand + change.delta).between(Product.reserved, MAX_STOCK),
        )
        .values(
            on_hand=Product.on_hand + change.delta,
            version=Product.version + 1,
            updated_at=now,
        )
        .returning(Product.on_hand - Product.reserved)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if left is None:
        raise _no_room(find_own_product(session, actor, product_id), change)
    # Under the lock of the row that was just written, so that of two the second sees the first.
    if last_change_by_hand(session, product_id) != change.seen_change_id:
        raise Conflict(
            "Somebody changed the stock since you opened this page, or you sent this twice."
            " Look at the list below before you go on.",
            code="stock_changed",
        )
    _record(session, actor, product_id, change, now)
    _tell_if_low(session, product, left, change, now)
    session.flush()
    session.refresh(product)
    return product


def last_change_by_hand(session: Session, product_id: int) -> int:
    """The id of the newest movement that a person made; 0 before the first."""
    return (
        session.scalar(
            select(func.max(StockMovement.id)).where(
                StockMovement.product_id == product_id, StockMovement.kind.in_(BY_HAND)
            )
        )
        or 0
    )


def _no_room(product: Product, change: StockChange) -> Conflict:
    if change.delta > 0:
        return Conflict(f"A shelf holds at most {MAX_STOCK} pieces.", code="stock_too_high")
    return Conflict(
        f"You can take away at most {product.available}: {product.reserved} of the"
        f" {product.on_hand} on the shelf are promised to orders.",
        code="stock_held",
    )


def _record(
    session: Session, actor: Actor, product_id: int, change: StockChange, now: datetime
) -> None:
    received = change.reason is StockReason.RECEIVED
    session.add(
        StockMovement(
            product_id=product_id,
            actor_id=actor.user_id,
            kind=MovementKind.RECEIPT if received else MovementKind.ADJUSTMENT,
            on_hand_delta=change.delta,
            reserved_delta=0,
            note=change.reason,
            created_at=now,
        )
    )


def _tell_if_low(
    session: Session, product: Product, left: int, change: StockChange, now: datetime
) -> None:
    fall = Fall(
        product_id=product.id,
        seller_id=product.seller_id,
        name=product.name,
        threshold=product.low_stock_threshold,
        before=left - change.delta,
        left=left,
    )
    tell_low_stock(session, fall, now)
