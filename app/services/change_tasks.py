"""Tasks that are made, changed, given to somebody, and taken away."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden, InvalidInput
from app.models import MONEY_TASKS, Order, Task, TaskKind, TaskPriority, TaskStatus, User
from app.policies import Actor, fulfillable_orders, owns_task, visible_orders
from app.services.records import notify
from app.services.tasks import lock_task
from app.utils.unset import UNSET, Unset

_FIELDS = ("title", "description", "status", "priority", "due_at", "assignee_id", "order_id")
_FIELDS_OF_ASSIGNEE = frozenset({"status", "priority"})
_FIELDS_OF_SHOP = frozenset({"title", "description", "order_id"})
"""What the shop wrote of a matter, and what it is about, stays as it was found."""


@dataclass(frozen=True, slots=True)
class NewTask:
    title: str
    description: str = ""
    status: TaskStatus = TaskStatus.TODO
    priority: TaskPriority = TaskPriority.NORMAL
    due_at: datetime | None = None
    assignee_id: int | None = None
    order_id: int | None = None


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What is UNSET stays as it is."""

    title: str | Unset = UNSET
    description: str | Unset = UNSET
    status: TaskStatus | Unset = UNSET
    priority: TaskPriority | Unset = UNSET
    due_at: datetime | Unset | None = UNSET
    assignee_id: int | Unset | None = UNSET
    order_id: int | Unset | None = UNSET


def create_task(session: Session, actor: Actor, new: NewTask, now: datetime) -> Task:
    """Write down a task of the actor's own; whom it is given to is told.

    Raises Forbidden for giving it to somebody without the right to, InvalidInput for an order
    that the actor does not see and for an assignee who cannot sign in.
    """
    _check_order(session, actor, new.order_id)
    _check_assignee(session, actor, new.assignee_id, new.order_id)
    task = Task(
        kind=TaskKind.MANUAL,
        title=new.title,
        description=new.description,
        status=new.status,
        priority=new.priority,
        due_at=new.due_at,
        owner_id=actor.user_id,
        assignee_id=new.assignee_id,
        order_id=new.order_id,
        created_at=now,
        updated_at=now,
    )
    session.add(task)
    session.flush()
    _tell_assignee(session, actor, task, now)
    session.flush()
    return task


def change_task(
    session: Session, actor: Actor, task_id: int, change: TaskChange, now: datetime
) -> Task:
    """Change the named fields. Who was given a task moves it on; the rest is its owner's.

    Naming a field with the value that it has already changes nothing and needs no right. Raises
    NotFound, Forbidden, InvalidInput as create_task does, and Conflict for rewriting what the
    shop filed and for closing, or opening again, what is about money.
    """
    task = lock_task(session, actor, task_id)
    wanted = _changed(task, change)
    _require_right(actor, task, wanted)
    order_id = wanted.get("order_id", task.order_id)
    if "order_id" in wanted:
        _check_order(session, actor, order_id)
    if wanted.keys() & {"assignee_id", "order_id"}:
        _check_assignee(session, actor, wanted.get("assignee_id", task.assignee_id), order_id)
    for name, value in wanted.items():
        setattr(task, name, value)
    if wanted:
        task.updated_at = now
    if "assignee_id" in wanted:
        _tell_assignee(session, actor, task, now)
    session.flush()
    return task


def delete_task(session: Session, actor: Actor, task_id: int) -> None:
    """Take a task away. Raises NotFound, Forbidden for who was only given it, and Conflict for
    what the shop filed: such a matter is part of the books, and is done, not forgotten.
    """
    task = lock_task(session, actor, task_id)
    if not owns_task(actor, task):
        raise Forbidden("Only its owner or an administrator deletes a task.", code="not_your_task")
    if task.kind != TaskKind.MANUAL:
        raise Conflict(
            "The shop filed this task. It can be done, but not deleted.", code="task_filed_by_shop"
        )
    session.delete(task)
    session.flush()


def _changed(task: Task, change: TaskChange) -> dict[str, Any]:
    named = {name: getattr(change, name) for name in _FIELDS}
    return {
        name: value
        for name, value in named.items()
        if value is not UNSET and value != getattr(task, name)
    }


def _require_right(actor: Actor, task: Task, wanted: dict[str, Any]) -> None:
    if not owns_task(actor, task) and wanted.keys() - _FIELDS_OF_ASSIGNEE:
        raise Forbidden(
            "This task was given to you: change its status or priority; the rest is its owner's.",
            code="not_your_task",
        )
    if task.kind != TaskKind.MANUAL and wanted.keys() & _FIELDS_OF_SHOP:
        raise Conflict(
            "The shop filed this task: its title, description and order stay as they are.",
            code="task_filed_by_shop",
        )
    if task.kind in MONEY_TASKS and TaskStatus.DONE in (wanted.get("status"), task.status):
        _refuse_step(wanted)


def _refuse_step(wanted: dict[str, Any]) -> None:
    """Money is decided by an action that knows the books, never by a word in a list."""
    if "status" in wanted:
        raise Conflict(
            "This is about money. An administrator decides it under “To decide” in the office.",
            code="needs_a_decision",
        )


def _check_order(session: Session, actor: Actor, order_id: int | None) -> None:
    if order_id is None:
        return
    if not session.scalar(select(exists().where(Order.id == order_id, visible_orders(actor)))):
        raise InvalidInput.field("order_id", "There is no such order.")


def _check_assignee(
    session: Session, actor: Actor, assignee_id: int | None, order_id: int | None
) -> None:
    """The right comes first: who may not give tasks learns nothing of who has an account."""
    if assignee_id is None or assignee_id == actor.user_id:
        return
    if not _may_assign(session, actor, order_id):
        raise Forbidden(
            "Keep this task yourself: only administrators give tasks to others, and sellers those"
            " about orders with their products.",
            code="may_not_assign",
        )
    can_sign_in = exists().where(User.id == assignee_id, User.suspended_at.is_(None))
    if not session.scalar(select(can_sign_in)):
        raise InvalidInput.field("assignee_id", "There is no such user, or they are suspended.")


def _may_assign(session: Session, actor: Actor, order_id: int | None) -> bool:
    if actor.is_admin:
        return True
    if not actor.may_sell or order_id is None:
        return False
    theirs = exists().where(Order.id == order_id, fulfillable_orders(actor))
    return bool(session.scalar(select(theirs)))


def _tell_assignee(session: Session, actor: Actor, task: Task, now: datetime) -> None:
    if task.assignee_id is None or task.assignee_id == actor.user_id:
        return
    notify(
        session,
        task.assignee_id,
        "task_assigned",
        title="A task for you",
        body=f"{actor.username} gave you: {task.title}",
        now=now,
        order_id=task.order_id,
        task_id=task.id,
    )
