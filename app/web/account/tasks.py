"""Things to do: the visitor's own, and those that were given to them."""

from typing import Any

import marshmallow as ma
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models import Task, TaskPriority, TaskStatus
from app.policies import owns_task
from app.schemas.base import PlainText, Schema
from app.schemas.task import LONGEST_DESCRIPTION
from app.security import current_actor
from app.services.change_tasks import NewTask, TaskChange, change_task, create_task, delete_task
from app.services.tasks import TaskFilter, find_task, list_tasks
from app.utils.unset import UNSET
from app.web.account.blueprint import account
from app.web.fields import EndOfDay
from app.web.formats import local_day
from app.web.language import gettext
from app.web.pages import Form, asked_page, asked_word, done, next_address, page, submit
from app.web.visitors import user_page

_STATUSES = [status.value for status in TaskStatus]


class TaskForm(Schema):
    """A task as its owner writes it."""

    title = PlainText(min=1, max=200, required=True)
    description = PlainText(max=LONGEST_DESCRIPTION, multiline=True, load_default="")
    due_at = EndOfDay(load_default=None)
    priority = ma.fields.Enum(TaskPriority, by_value=True, load_default=TaskPriority.NORMAL)
    status = ma.fields.Enum(TaskStatus, by_value=True, load_default=TaskStatus.TODO)


class TaskStepForm(Schema):
    """What somebody may change of a task that was given to them, or that the shop filed."""

    status = ma.fields.Enum(TaskStatus, by_value=True)
    priority = ma.fields.Enum(TaskPriority, by_value=True)


@account.get("/account/tasks")
@user_page
def tasks() -> AnyResponse:
    """Own and given tasks, newest first, by status."""
    return page("account/tasks.html", **_tasks(Form({"priority": TaskPriority.NORMAL.value})))


@account.post("/account/tasks")
@user_page
def add_task() -> AnyResponse:
    """Write down something to do."""

    def act(data: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            create_task(session, current_actor(), NewTask(**data), now())
        return done(gettext("Your task is saved."), "account.tasks")

    return submit(TaskForm(), act, lambda form: _shown("account/tasks.html", **_tasks(form)))


@account.get("/account/tasks/<id:task_id>")
@user_page
def task(task_id: int) -> AnyResponse:
    """One task, to be read and changed."""
    return page("account/task.html", **_task(task_id))


@account.post("/account/tasks/<id:task_id>")
@user_page
def save_task(task_id: int) -> AnyResponse:
    """Change a task: all of it if it is one's own, its status and priority otherwise."""
    found = _find(task_id)
    schema = TaskForm() if _is_own(found) else TaskStepForm()

    def act(data: dict[str, Any]) -> AnyResponse:
        change = TaskChange(**{name: data.get(name, UNSET) for name in schema.fields})
        with transaction() as session:
            change_task(session, current_actor(), task_id, change, now())
        return done(gettext("The task is saved."), "account.tasks")

    return submit(schema, act, lambda form: _shown("account/task.html", **_task(task_id, form)))


@account.post("/account/tasks/<id:task_id>/status")
@user_page
def step_task(task_id: int) -> AnyResponse:
    """Move a task on, from the list."""

    def act(data: dict[str, Any]) -> AnyResponse:
        change = TaskChange(status=data["status"])
        with transaction() as session:
            change_task(session, current_actor(), task_id, change, now())
        return done(gettext("The task is saved."), "account.tasks")

    step = Schema.from_dict({"status": ma.fields.Enum(TaskStatus, by_value=True, required=True)})
    return submit(step(), act, lambda form: _shown("account/tasks.html", **_tasks(form)))


@account.post("/account/tasks/<id:task_id>/delete")
@user_page
def remove_task(task_id: int) -> AnyResponse:
    """Take one's own task away."""
    with transaction() as session:
        delete_task(session, current_actor(), task_id)
    return done(gettext("The task is gone."), "account.tasks")


def _find(task_id: int) -> Task:
    with reading() as session:
        return find_task(session, current_actor(), task_id)


def _is_own(found: Task) -> bool:
    return owns_task(current_actor(), found) and found.kind == "manual"


def _task(task_id: int, form: Form | None = None) -> dict[str, Any]:
    found = _find(task_id)
    values = {
        "title": found.title,
        "description": found.description,
        "due_at": local_day(found.due_at),
        "priority": found.priority,
        "status": found.status,
    }
    return {"task": found, "form": form or Form(values), "is_own": _is_own(found)}


def _tasks(form: Form) -> dict[str, Any]:
    status = asked_word("status", _STATUSES)
    wanted = TaskFilter(status=TaskStatus(status) if status else None)
    with reading() as session:
        found = list_tasks(session, current_actor(), wanted, asked_page())
    return {
        "tasks": found.rows,
        "next": next_address(found.next_cursor),
        "status": status,
        "form": form,
    }


def _shown(template: str, **context: Any) -> str:
    return page(template, **context).get_data(as_text=True)
