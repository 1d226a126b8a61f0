"""Tasks as the office sees them: what is open first, with who does it and what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, select
from sqlalchemy.orm import Session, aliased

from app.models import Order, Task, TaskStatus, User
from app.policies import Actor, Role, fulfillable_orders, visible_tasks
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.tasks import TaskFilter, find_task

_owner = aliased(User)
_assignee = aliased(User)
_is_done = case((Task.status == TaskStatus.DONE, 1), else_=0)


@dataclass(frozen=True, slots=True)
class ShopTask:
    """A name is empty where there is nobody; ``order_number`` also where the actor sells nothing
    in the order, so that its page is not theirs to open.
    """

    task: Task
    owner_name: str
    assignee_name: str
    order_number: str


def list_shop_tasks(
    session: Session, actor: Actor, wanted: TaskFilter, page: PageRequest
) -> Page[ShopTask]:
    """What is not done stands first; of each the newest first."""
    statement = _tasks_of(actor).where(visible_tasks(actor))
    for name in ("status", "kind", "assignee_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(getattr(Task, name) == value)
    keys = [SortKey(_is_done), SortKey(Task.id, descending=True)]
    found = paginate(session, statement, keys, page)
    return Page([_shown(row) for row in found.rows], found.next_cursor)


def find_shop_task(session: Session, actor: Actor, task_id: int) -> ShopTask:
    """Raises NotFound if the task is missing or not for this actor to see."""
    find_task(session, actor, task_id)
    return _shown(session.execute(_tasks_of(actor).where(Task.id == task_id)).one())


def list_staff(session: Session) -> Sequence[User]:
    """Whom a task may be given to: admins and sellers who can sign in."""
    roles = [Role.ADMIN.value, Role.SELLER.value]
    staff = select(User).where(User.role.in_(roles), User.suspended_at.is_(None))
    return session.scalars(staff.order_by(User.role, User.username_key)).all()


def _tasks_of(actor: Actor) -> Select[*tuple[Any, ...]]:
    return (
        select(Task, _owner.username, _assignee.username, Order.number)
        .outerjoin(_owner, _owner.id == Task.owner_id)
        .outerjoin(_assignee, _assignee.id == Task.assignee_id)
        .outerjoin(Order, (Order.id == Task.order_id) & fulfillable_orders(actor))
    )


def _shown(row: Any) -> ShopTask:
    task, owner, assignee, number = row
    return ShopTask(task, owner or "", assignee or "", number or "")
