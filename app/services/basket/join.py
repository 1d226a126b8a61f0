"""What a guest put into a basket comes along when they sign in."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.models import Basket, BasketLine, Product
from app.services.basket.owners import (
    MAX_BASKET_LINES,
    BasketOwner,
    find_locked_basket,
    lines_of,
    lock_basket,
    mark_changed,
)


def join_baskets(session: Session, token_hash: str, user_id: int, now: datetime) -> list[str]:
    """Give a guest's lines to the user, of each product the larger quantity; the guest's basket
    is no more, so that a second time does nothing.

    Answers the names of what found no room.
    """
    guests = find_locked_basket(session, BasketOwner(token_hash=token_hash))
    if guests is None:
        return []
    brought = lines_of(session, guests)
    left_out = _give(session, brought, user_id, now) if brought else []
    session.execute(delete(BasketLine).where(BasketLine.basket_id == guests.id))
    session.execute(delete(Basket).where(Basket.id == guests.id))
    session.expire_all()
    return left_out


def _give(
    session: Session, brought: dict[int, BasketLine], user_id: int, now: datetime
) -> list[str]:
    basket = lock_basket(session, BasketOwner(user_id=user_id), now)
    lines = lines_of(session, basket)
    left_out = []
    for product_id, line in brought.items():
        own = lines.get(product_id)
        if own is not None:
            own.quantity = max(own.quantity, line.quantity)
        elif len(lines) < MAX_BASKET_LINES:
            lines[product_id] = BasketLine(
                basket_id=basket.id,
                product_id=product_id,
                quantity=line.quantity,
                price_cents=line.price_cents,
                created_at=now,
            )
            session.add(lines[product_id])
        else:
            left_out.append(product_id)
    mark_changed(basket, now)
    session.flush()
    named = select(Product.name).where(Product.id.in_(left_out)).order_by(Product.id)
    return list(session.scalars(named)) if left_out else []
