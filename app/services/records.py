"""Small writings that accompany every change: histories, messages, tasks for people.

What is put into a history or filed for a person is also told to the merchant's own systems.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, insert, select, update
from sqlalchemy.orm import Session

from app.asking import Prepared
from app.models import (
    Decision,
    Notification,
    Order,
    OrderEvent,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentEvent,
    PaymentState,
    Task,
    TaskKind,
    TaskPriority,
    TaskStatus,
)
from app.models.base import Base, table_of
from app.services.insert_once import insert_once
from app.services.webhooks.news import tell_of_order, tell_of_payment, tell_of_task

_DETAIL_LENGTH = 500


def _putting(model: type[Base], *columns: str) -> Prepared:
    """Writes a row beside whatever the session holds back: those who record are in the middle of
    something. What the row is about is there already.
    """
    values: dict[str, Any] = {column: bindparam(column) for column in columns}
    return Prepared(insert(table_of(model)).inline().values(values))


_PUT_ORDER_EVENT = _putting(
    OrderEvent, "order_id", "from_status", "to_status", "actor_id", "reason", "created_at"
)
_PUT_PAYMENT_EVENT = _putting(
    PaymentEvent, "payment_id", "from_status", "to_status", "source", "detail", "created_at"
)
_PUT_NOTIFICATION = _putting(
    Notification,
    *("user_id", "kind", "title", "body", "order_id", "product_id", "task_id", "created_at"),
)


def record_order_event(
    session: Session,
    order: Order,
    from_status: OrderStatus | None,
    now: datetime,
    *,
    actor_id: int | None = None,
    reason: str | None = None,
) -> None:
    """Put the step that ``order`` has just taken into its history."""
    with session.no_autoflush:
        _PUT_ORDER_EVENT.run(
            session,
            order_id=order.id,
            from_status=from_status,
            to_status=order.status,
            actor_id=actor_id,
            reason=reason,
            created_at=now,
        )
    tell_of_order(session, order, from_status, now)


def record_payment_event(
    session: Session,
    payment_id: int,
    *,
    from_status: str | None,
    to_status: PaymentState | str,
    source: str,
    now: datetime,
    detail: str | None = None,
) -> None:
    """Put a step of a payment, or news that moved nothing, into its history."""
    with session.no_autoflush:
        _PUT_PAYMENT_EVENT.run(
            session,
            payment_id=payment_id,
            from_status=from_status,
            to_status=to_status,
            source=source,
            detail=detail[:_DETAIL_LENGTH] if detail else None,
            created_at=now,
        )
    tell_of_payment(session, payment_id, from_status, to_status, now)


def notify(
    session: Session,
    user_id: int,
    kind: str,
    *,
    title: str,
    body: str,
    now: datetime,
    order_id: int | None = None,
    product_id: int | None = None,
    task_id: int | None = None,
) -> None:
    """Leave a plain message for one user, and say what it is about."""
    with session.no_autoflush:
        _PUT_NOTIFICATION.run(
            session,
            user_id=user_id,
            kind=kind,
            title=title,
            body=body,
            order_id=order_id,
            product_id=product_id,
            task_id=task_id,
            created_at=now,
        )


def tell_unpaid(session: Session, order: Order, message: str, now: datetime) -> None:
    """Tell a buyer that an attempt brought no money, if the order still waits for some."""
    if order.status == OrderStatus.PENDING:
        notify(
            session,
            order.user_id,
            "payment_failed",
            title=f"Order {order.number} is not paid yet",
            body=message,
            now=now,
            order_id=order.id,
        )


def tell_sellers(session: Session, order: Order, now: datetime) -> None:
    """Tell each seller of a paid order's lines, once, that something is to be sent."""
    lines = select(OrderLine.seller_id).where(OrderLine.order_id == order.id)
    for seller_id in sorted(set(session.scalars(lines))):
        notify(
            session,
            seller_id,
            "sale",
            title=f"Order {order.number} is to be sent",
            body="It is paid and holds products of yours. Mark it shipped when it is on its way.",
            now=now,
            order_id=order.id,
        )


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that only a person can decide, with all that is known of it."""

    kind: TaskKind
    title: str
    description: str
    dedupe_key: str


def file_task(
    session: Session,
    matter: Matter,
    now: datetime,
    *,
    payment: Payment | None = None,
    order_id: int | None = None,
    refund_id: int | None = None,
    receipt: str | None = None,
) -> bool:
    """File a matter once, however many hands come upon it; answers whether it is new.

    It says what it is about: a payment with its order and receipt, or whatever else is named.
    """
    is_new = insert_once(
        session,
        Task,
        "dedupe_key",
        {
            "kind": matter.kind,
            "title": matter.title,
            "description": matter.description,
            "priority": TaskPriority.HIGH,
            "order_id": payment.order_id if payment else order_id,
            "payment_id": payment.id if payment else None,
            "refund_id": refund_id,
            "receipt": receipt or (payment.mpesa_receipt if payment else None),
            "dedupe_key": matter.dedupe_key,
            "created_at": now,
            "updated_at": now,
        },
    )
    if is_new:
        tell_of_task(session, matter.dedupe_key, now)
    return is_new


def solve_tasks(
    session: Session,
    condition: ColumnElement[bool],
    action: str,
    reason: str,
    now: datetime,
    *,
    actor_id: int | None = None,
) -> list[int]:
    """Close the shop's open tasks of which ``condition`` holds, and write down what solved them.

    Answers their ids. Without an actor it was later news, and no person.
    """
    solved = session.scalars(
        update(Task)
        .where(Task.kind != TaskKind.MANUAL, Task.status != TaskStatus.DONE, condition)
        .values(status=TaskStatus.DONE, updated_at=now)
        .returning(Task.id)
        .execution_options(synchronize_session=False)
    ).all()
    for task_id in sorted(solved):
        record_decision(session, task_id, action, reason, now, actor_id=actor_id)
    session.flush()
    return sorted(solved)


def record_decision(
    session: Session,
    task_id: int,
    action: str,
    reason: str,
    now: datetime,
    *,
    actor_id: int | None = None,
) -> None:
    """Put what was done about a task into its history, which nobody can rewrite."""
    session.add(
        Decision(
            task_id=task_id,
            actor_id=actor_id,
            action=action,
            reason=reason[:_DETAIL_LENGTH],
            created_at=now,
        )
    )
