"""Things to do, as people see them: their own, and those that were given to them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Task, TaskKind, TaskStatus
from app.policies import Actor, visible_tasks
from app.services.pages import Page, PageRequest, SortKey, paginate


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are wanted; what is None does not matter."""

    status: TaskStatus | None = None
    kind: TaskKind | None = None
    assignee_id: int | None = None
    order_id: int | None = None
    due_before: datetime | None = None


def list_tasks(session: Session, actor: Actor, wanted: TaskFilter, page: PageRequest) -> Page[Task]:
    """Newest first."""
    statement = select(Task).where(visible_tasks(actor))
    for name in ("status", "kind", "assignee_id", "order_id"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(getattr(Task, name) == value)
    if wanted.due_before is not None:
        statement = statement.where(Task.due_at < wanted.due_before)
    return paginate(session, statement, [SortKey(Task.id, descending=True)], page)


def find_task(session: Session, actor: Actor, task_id: int) -> Task:
    """Raises NotFound if the task is missing or not for this actor to see."""
    return _found(session.scalar(select(Task).where(Task.id == task_id, visible_tasks(actor))))


def lock_task(session: Session, actor: Actor, task_id: int) -> Task:
    """The task as it is now, and nobody else changes it before the commit. Raises NotFound."""
    return _found(
        session.scalar(
            select(Task)
            .where(Task.id == task_id, visible_tasks(actor))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def _found(task: Task | None) -> Task:
    if task is None:
        raise NotFound("There is no such task.", code="task_not_found")
    return task
