"""The ends of an order that nobody paid in full: called off, or expired."""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import Order, OrderStatus
from app.policies import Actor, cancellable_orders
from app.services.move_order import (
    live_attempt_of,
    lock_order,
    lock_visible_order,
    move_order,
    require_right,
)
from app.services.records import notify
from app.services.sell_stock import release_stock
from app.services.use_money import set_money_aside


def cancel_order(session: Session, actor: Actor, order_id: int, now: datetime) -> Order:
    """Call an unpaid order off and give its stock back, once.

    A prompt may still be on the phone; money that it brings later is kept for a refund. Raises
    NotFound, Forbidden for a seller of its lines, Conflict when the order is past being called off.
    """
    order = lock_visible_order(session, actor, order_id)
    require_right(
        session, order, cancellable_orders(actor), "Only its buyer or an admin cancels it."
    )
    if order.status != OrderStatus.PENDING:
        raise Conflict(
            f"Order {order.number} is {order.status} and can no longer be cancelled.",
            code="order_not_cancellable",
        )
    move_order(session, order, OrderStatus.CANCELLED, now, actor_id=actor.user_id)
    release_stock(session, order.id, now)
    set_money_aside(session, order, now)
    notify(
        session,
        order.user_id,
        "order_cancelled",
        title=f"Order {order.number} is cancelled",
        body="Nothing will be charged. If a payment prompt is still on your phone, press cancel.",
        now=now,
        order_id=order.id,
    )
    return order


def expire_order(session: Session, order_id: int, now: datetime) -> bool:
    """Let go of an order whose time is up, unless a prompt is out or its fate is unknown.

    Safe to call again, early, or from two workers: answers whether it did anything.
    """
    order = lock_order(session, order_id)
    if order is None or order.status != OrderStatus.PENDING or order.expires_at > now:
        return False
    if session.scalar(select(exists().where(live_attempt_of(order_id)))):
        return False
    move_order(session, order, OrderStatus.EXPIRED, now, reason="not paid in time")
    release_stock(session, order.id, now)
    set_money_aside(session, order, now)
    notify(
        session,
        order.user_id,
        "order_expired",
        title=f"Order {order.number} has expired",
        body="It was not paid in time, so its items went back on sale. You can order again.",
        now=now,
        order_id=order.id,
    )
    return True
