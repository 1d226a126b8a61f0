"""A basket becomes an order exactly once, however often its form is sent."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import BasketLine
from app.policies import Actor
from app.services.basket.owners import BasketOwner, lines_of, lock_basket, mark_changed
from app.services.place_order import OrderRequest, OrderRules, WantedLine, place_order


@dataclass(frozen=True, slots=True)
class CheckOut:
    """What the form says: which basket, at which total, it was made for; and where it goes to."""

    version: int
    total_cents: int
    phone_number: str | None = None
    delivery_address: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    order_id: int
    is_new: bool
    """False where the form had ordered before: nothing was ordered this time."""


def check_out(
    session: Session, actor: Actor, ask: CheckOut, rules: OrderRules, now: datetime
) -> Placed:
    """Order what lies in the basket, at the total that its owner saw, and empty it.

    Raises Conflict ``basket_changed``, ``basket_empty`` and ``prices_changed``, and whatever
    place_order raises. Any of them leaves the basket as it is.
    """
    basket = lock_basket(session, BasketOwner(user_id=actor.user_id), now)
    if basket.last_order_id is not None and basket.ordered_version == ask.version:
        return Placed(basket.last_order_id, is_new=False)
    lines = lines_of(session, basket)
    if not lines:
        raise Conflict("Your basket is empty. Nothing was ordered.", code="basket_empty")
    if basket.version != ask.version:
        raise Conflict(
            "Your basket has changed since this page was made. Nothing was ordered: look at it"
            " again, then order.",
            code="basket_changed",
        )
    request = OrderRequest(
        lines=tuple(WantedLine(line.product_id, line.quantity) for line in lines.values()),
        phone_number=ask.phone_number,
        delivery_address=ask.delivery_address,
        note=ask.note,
    )
    order = place_order(session, actor, request, rules, now)
    if order.total_cents != ask.total_cents:
        raise Conflict(
            "A price has changed since this page was made. Nothing was ordered: look at the new"
            " total, then order.",
            code="prices_changed",
        )
    session.execute(delete(BasketLine).where(BasketLine.basket_id == basket.id))
    basket.ordered_version, basket.last_order_id = basket.version, order.id
    mark_changed(basket, now)
    session.flush()
    return Placed(order.id, is_new=True)
