"""What waits for a hand now: parcels to send, payments without an answer, tasks, empty shelves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    MONEY_TASKS,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    Product,
    Task,
    TaskStatus,
)
from app.policies import Actor, fulfillable_orders, visible_payments
from app.services.exceptions import QueueCount, count_exceptions

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LowProduct:
    """A product of which little or nothing can be bought."""

    id: int
    name: str
    available: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts, and the first few of each; of payments and tasks only an admin is told."""

    to_ship_count: int
    to_ship: Sequence[Order]
    """Those that were placed first."""
    low_count: int
    low: Sequence[LowProduct]
    """Those with the least left."""
    prompts_out: int = 0
    payments_unknown: int = 0
    exceptions: QueueCount = field(default_factory=QueueCount)
    """What only a person can decide about money."""
    shop_tasks: int = 0
    """What else the shop has filed."""


def read_waiting(session: Session, actor: Actor) -> Waiting:
    to_ship = (Order.status == OrderStatus.PAID) & fulfillable_orders(actor)
    low = _runs_low(actor)
    live = _live_payments(session, actor) if actor.is_admin else {}
    unknown = live.pop(PaymentState.UNKNOWN, 0)
    return Waiting(
        to_ship_count=_count(session, Order, to_ship),
        to_ship=session.scalars(
            select(Order).where(to_ship).order_by(Order.id).limit(_SHOWN)
        ).all(),
        low_count=_count(session, Product, low),
        low=_lowest(session, low),
        prompts_out=sum(live.values()),
        payments_unknown=unknown,
        exceptions=count_exceptions(session, actor).total if actor.is_admin else QueueCount(),
        shop_tasks=_count(session, Task, _filed_and_open()) if actor.is_admin else 0,
    )


def _runs_low(actor: Actor) -> ColumnElement[bool]:
    """At or below the threshold that its seller set; without one, sold out."""
    own = true() if actor.is_admin else Product.seller_id == actor.user_id
    left = Product.on_hand - Product.reserved
    return (
        own & Product.deleted_at.is_(None) & (left <= func.coalesce(Product.low_stock_threshold, 0))
    )


def _lowest(session: Session, low: ColumnElement[bool]) -> list[LowProduct]:
    left = Product.on_hand - Product.reserved
    rows = session.execute(
        select(Product.id, Product.name, left).where(low).order_by(left, Product.id).limit(_SHOWN)
    )
    return [LowProduct(*row) for row in rows]


def _live_payments(session: Session, actor: Actor) -> dict[str, int]:
    rows = session.execute(
        select(Payment.status, func.count(Payment.id))
        .where(Payment.status.in_(LIVE_STATES), visible_payments(actor))
        .group_by(Payment.status)
    )
    return {row[0]: row[1] for row in rows}


def _filed_and_open() -> ColumnElement[bool]:
    """What the shop filed for a person, beside what is about money."""
    is_open = Task.status != TaskStatus.DONE
    return Task.owner_id.is_(None) & is_open & Task.kind.not_in(MONEY_TASKS)


def _count(
    session: Session, entity: type[Order | Product | Task], condition: ColumnElement[bool]
) -> int:
    return session.scalar(select(func.count(entity.id)).where(condition)) or 0
