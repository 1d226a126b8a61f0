"""What a seller does to stock. Each change of a count comes with the movement that explains it.

What orders do to it (hold, release, consume) is not here, and ``reserved`` is never touched here.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.models import MovementKind, Product, StockMovement
from app.models.item import MAX_STOCK
from app.policies import Actor
from app.services.low_stock import Fall, tell_low_stock


def receive_stock(
    session: Session, actor: Actor, product: Product, quantity: int, now: datetime
) -> None:
    """Put new units on the shelf. The product must be new or locked by the caller."""
    if quantity:
        _move(session, actor, product, kind=MovementKind.RECEIPT, on_hand_delta=quantity, now=now)


def set_available(
    session: Session, actor: Actor, product: Product, available: int, now: datetime
) -> bool:
    """Make ``available`` what can be bought now: units that orders hold stay theirs, on top of it.

    The product must be locked by the caller, or a hold that happens meanwhile is not counted.
    Answers whether anything changed. Its seller is told if little is left then.
    """
    before = product.available
    delta = available + product.reserved - product.on_hand
    if delta == 0:
        return False
    _move(session, actor, product, kind=MovementKind.ADJUSTMENT, on_hand_delta=delta, now=now)
    fall = Fall(
        product_id=product.id,
        seller_id=product.seller_id,
        name=product.name,
        threshold=product.low_stock_threshold,
        before=before,
        left=available,
    )
    tell_low_stock(session, fall, now)
    return True


def _move(
    session: Session,
    actor: Actor,
    product: Product,
    *,
    kind: MovementKind,
    on_hand_delta: int,
    now: datetime,
) -> None:
    on_hand = product.on_hand + on_hand_delta
    if not product.reserved <= on_hand <= MAX_STOCK:
        raise InvalidInput.field(
            "stock", f"Stock is 0 to {MAX_STOCK - product.reserved} for this product."
        )
    product.on_hand = on_hand
    session.add(
        StockMovement(
            product_id=product.id,
            actor_id=actor.user_id,
            kind=kind,
            on_hand_delta=on_hand_delta,
            reserved_delta=0,
            created_at=now,
        )
    )
