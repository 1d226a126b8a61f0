"""The steps of an order's life: which are allowed, how one is taken, and being fulfilled."""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session

from app.asking import take_over
from app.errors import Conflict, Forbidden, NotFound
from app.models import (
    LIVE_STATES,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    Task,
    TaskKind,
    TaskStatus,
)
from app.policies import Actor, fulfillable_orders, visible_orders
from app.services.lock_row import lock_row
from app.services.records import notify, record_order_event
from app.services.refund_shares import is_sale_going_back

OfOrder = TypeVar("OfOrder", Payment, PaymentClaim)

ALLOWED_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PAID, OrderStatus.CANCELLED, OrderStatus.EXPIRED}),
    OrderStatus.PAID: frozenset({OrderStatus.SHIPPED, OrderStatus.REFUNDED, OrderStatus.CANCELLED}),
    OrderStatus.SHIPPED: frozenset({OrderStatus.DELIVERED, OrderStatus.REFUNDED}),
    OrderStatus.DELIVERED: frozenset({OrderStatus.REFUNDED}),
    OrderStatus.CANCELLED: frozenset(),
    OrderStatus.EXPIRED: frozenset({OrderStatus.PAID}),
    OrderStatus.REFUNDED: frozenset(),
}
"""``expired → paid`` is late money for which the stock is still there; ``paid → cancelled`` money
that a person found not to be there.
"""


def lock_order(session: Session, order_id: int) -> Order | None:
    """The order as it is now, locked until the transaction ends."""
    return lock_row(session, Order, order_id)


def lock_with_order(session: Session, model: type[OfOrder], row_id: int) -> tuple[Order, OfOrder]:
    """The row's order, then the row, both as they are now and locked until the end."""
    order_id = session.scalar(select(model.order_id).where(model.id == row_id))
    order = lock_order(session, order_id) if order_id is not None else None
    row = lock_row(session, model, row_id)
    if order is None or row is None:
        raise RuntimeError(f"{model.__name__} {row_id} has no order.")
    return order, row


def lock_visible_order(session: Session, actor: Actor, order_id: int) -> Order:
    """Raises NotFound for an order that is missing or not for this actor to see."""
    order = session.scalar(
        select(Order)
        .where(Order.id == order_id, visible_orders(actor))
        .with_for_update(of=Order, key_share=True)
        .execution_options(populate_existing=True)
    )
    if order is None:
        raise NotFound("There is no such order.", code="order_not_found")
    return order


def move_order(
    session: Session,
    order: Order,
    to: OrderStatus,
    now: datetime,
    *,
    actor_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Take one allowed step, on condition that the order still stands where we saw it.

    Raises RuntimeError when it does not: the caller holds its lock, so that is a bug.
    """
    before = OrderStatus(order.status)
    if to not in ALLOWED_MOVES[before]:
        raise RuntimeError(f"An order never goes from {before} to {to}.")
    values: dict[str, Any] = {"status": to, "updated_at": now}
    if to is OrderStatus.PAID:
        values["paid_at"] = now
    moved = session.execute(
        update(Order)
        .where(Order.id == order.id, Order.status == before)
        .values(**values)
        .returning(Order.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        raise RuntimeError(f"Order {order.id} moved under our lock.")
    take_over(order, values)
    record_order_event(session, order, before, now, actor_id=actor_id, reason=reason)


def fulfil_order(
    session: Session, actor: Actor, order_id: int, to: OrderStatus, now: datetime
) -> Order:
    """Mark a paid order shipped, or a shipped one delivered.

    Raises NotFound, Forbidden for the buyer, Conflict for a step that is not the next one,
    ``payment_disputed`` while a person still has to look at the payment and ``refund_under_way``
    while its money may be going back.
    """
    order = lock_visible_order(session, actor, order_id)
    require_right(
        session, order, fulfillable_orders(actor), "Only its seller or an admin fulfils it."
    )
    if to not in ALLOWED_MOVES[OrderStatus(order.status)]:
        raise Conflict(
            f"Order {order.number} is {order.status}; it cannot become {to} now.",
            code="order_not_fulfillable",
        )
    _refuse_disputed(session, order)
    _refuse_going_back(session, order)
    move_order(session, order, to, now, actor_id=actor.user_id)
    notify(
        session,
        order.user_id,
        f"order_{to}",
        title=f"Order {order.number} is {to}",
        body="It is on its way to you." if to is OrderStatus.SHIPPED else "Thank you for buying.",
        now=now,
        order_id=order.id,
    )
    return order


def is_disputed(session: Session, order_id: int) -> bool:
    """Whether M-Pesa's own books contradict the order's payment, and no person has looked yet."""
    disputed = exists().where(
        Task.order_id == order_id,
        Task.kind == TaskKind.DISPUTED_PAYMENT,
        Task.status != TaskStatus.DONE,
    )
    return bool(session.scalar(select(disputed)))


def _refuse_disputed(session: Session, order: Order) -> None:
    """A payment that M-Pesa's own books contradict ships nothing before a person has looked."""
    if is_disputed(session, order.id):
        raise Conflict(
            f"M-Pesa disputes the payment of order {order.number}. Look at its task first.",
            code="payment_disputed",
        )


def _refuse_going_back(session: Session, order: Order) -> None:
    """Goods and their money never leave together."""
    if is_sale_going_back(session, order):
        raise Conflict(
            f"The money of order {order.number} is on its way back. Send nothing.",
            code="refund_under_way",
        )


def live_attempt_of(order_id: int) -> ColumnElement[bool]:
    """A condition on Payment: an attempt on this order that may still bring money."""
    return (Payment.order_id == order_id) & Payment.status.in_(LIVE_STATES)


def require_right(
    session: Session, order: Order, condition: ColumnElement[bool], sentence: str
) -> None:
    """Raises Forbidden with this sentence unless the condition holds of the order."""
    if not session.scalar(select(exists().where(Order.id == order.id, condition))):
        raise Forbidden(sentence)
