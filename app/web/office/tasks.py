"""Things to do: an admin's all, a seller's own and those they were given."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models import MONEY_TASKS, Task, TaskKind, TaskPriority, TaskStatus
from app.policies import Role, owns_task
from app.schemas.base import PlainText, QueryId, Schema
from app.schemas.task import LONGEST_DESCRIPTION
from app.security import current_actor
from app.services.change_tasks import NewTask, TaskChange, change_task, create_task, delete_task
from app.services.pages import Page
from app.services.shop_tasks import ShopTask, find_shop_task, list_shop_tasks, list_staff
from app.services.tasks import TaskFilter
from app.utils.unset import UNSET
from app.web.fields import EndOfDay
from app.web.formats import local_day
from app.web.language import gettext, mark
from app.web.office.blueprint import office, opens
from app.web.office.lists import look_up
from app.web.office.words import PRIORITY_WORDS, ROLE_WORDS, TASK_KIND_WORDS, TASK_WORDS
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

CHIPS = (
    ("", mark("All")),
    (TaskStatus.TODO, mark("To do")),
    (TaskStatus.IN_PROGRESS, mark("In progress")),
    (TaskStatus.DONE, mark("Done")),
)
_WORDS: dict[str, Any] = {
    "kind_words": TASK_KIND_WORDS,
    "priority_words": PRIORITY_WORDS,
    "task_words": TASK_WORDS,
}
OF_THE_WRITER = ("title", "description")
OF_THE_OWNER = ("due_at",)
OF_AN_ADMIN = ("assignee_id",)
OF_EVERYBODY = ("status", "priority")


class TaskSearch(Schema):
    """What tasks are searched by. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    status = ma.fields.Enum(TaskStatus, by_value=True, load_default=None)
    kind = ma.fields.Enum(TaskKind, by_value=True, load_default=None)
    assignee = QueryId(attribute="assignee_id", load_default=None)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> TaskFilter:
        return TaskFilter(**data)


class TaskForm(Schema):
    """A task as a person writes it; a field that is left empty is empty."""

    title = PlainText(min=1, max=200, required=True)
    description = PlainText(max=LONGEST_DESCRIPTION, multiline=True, load_default="")
    due_at = EndOfDay(load_default=None)
    assignee_id = QueryId(load_default=None)
    status = ma.fields.Enum(TaskStatus, by_value=True)
    priority = ma.fields.Enum(TaskPriority, by_value=True)


class StepForm(Schema):
    status = ma.fields.Enum(TaskStatus, by_value=True, required=True)


@office.get("/office/tasks")
@role_page(Role.SELLER, Role.ADMIN)
def tasks() -> AnyResponse:
    """Tasks: what is open first, the newest first."""
    return look_up(
        TaskSearch(),
        _find,
        "office/tasks.html",
        chips=CHIPS,
        staff=_staff(),
        money_kinds=MONEY_TASKS,
        **_WORDS,
    )


def _find(wanted: TaskFilter) -> Page[ShopTask]:
    with reading() as session:
        return list_shop_tasks(session, current_actor(), wanted, asked_page())


@office.get("/office/tasks/new")
@role_page(Role.SELLER, Role.ADMIN)
def new_task() -> AnyResponse:
    """Where a task is written."""
    return _new_page(Form({"priority": TaskPriority.NORMAL.value}))


@office.post("/office/tasks/new")
@role_page(Role.SELLER, Role.ADMIN)
def add_task() -> AnyResponse:
    """Write down something to do, and as an admin give it to somebody."""

    def act(data: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            create_task(session, current_actor(), NewTask(**data), now())
        return done(gettext("The task is saved."), "office.tasks")

    own = OF_AN_ADMIN if current_actor().is_admin else ()
    schema = TaskForm(only=(*OF_THE_WRITER, *OF_THE_OWNER, *own, "priority"))
    return submit(schema, act, lambda form: _new_page(form).get_data(as_text=True))


@office.get("/office/tasks/<id:task_id>")
@role_page(Role.SELLER, Role.ADMIN)
def task(task_id: int) -> AnyResponse:
    """One task, to be read and changed; what is about money has a page of its own for admins."""
    shown = _read(task_id)
    if shown.task.kind in MONEY_TASKS and opens(f"/office/exceptions/{task_id}"):
        return redirect(f"/office/exceptions/{task_id}", 303)
    return _task_page(shown)


@office.post("/office/tasks/<id:task_id>")
@role_page(Role.SELLER, Role.ADMIN)
def save_task(task_id: int) -> AnyResponse:
    """Change of a task what the visitor may change."""
    shown = _read(task_id)
    schema = TaskForm(only=_fields_for(shown.task))

    def act(data: dict[str, Any]) -> AnyResponse:
        if request.form.get("due_at") == local_day(shown.task.due_at):
            data.pop("due_at", None)  # the day stays, and with it the hour that it had
        change = TaskChange(**{name: data.get(name, UNSET) for name in schema.fields})
        with transaction() as session:
            change_task(session, current_actor(), task_id, change, now())
        return done(gettext("The task is saved."), "office.task", task_id=task_id)

    return submit(schema, act, lambda form: _task_page(shown, form).get_data(as_text=True))


@office.post("/office/tasks/<id:task_id>/status")
@role_page(Role.SELLER, Role.ADMIN)
def step_task(task_id: int) -> AnyResponse:
    """Move a task on, from the list."""
    shown = _read(task_id)

    def act(data: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            change_task(session, current_actor(), task_id, TaskChange(status=data["status"]), now())
        return done(gettext("The task is saved."), "office.tasks")

    return submit(StepForm(), act, lambda form: _task_page(shown, form).get_data(as_text=True))


@office.post("/office/tasks/<id:task_id>/delete")
@role_page(Role.SELLER, Role.ADMIN)
def remove_task(task_id: int) -> AnyResponse:
    """Take away a task that a person wrote."""
    with transaction() as session:
        delete_task(session, current_actor(), task_id)
    return done(gettext("The task is gone."), "office.tasks")


def _read(task_id: int) -> ShopTask:
    with reading() as session:
        return find_shop_task(session, current_actor(), task_id)


def _fields_for(found: Task) -> tuple[str, ...]:
    """What the visitor may change; what the shop filed keeps its words."""
    actor = current_actor()
    fields: tuple[str, ...] = OF_EVERYBODY
    if owns_task(actor, found):
        fields += OF_THE_OWNER
        if found.kind == TaskKind.MANUAL:
            fields += OF_THE_WRITER
    return fields + OF_AN_ADMIN if actor.is_admin else fields


def _staff(task: Task | None = None, name: str = "") -> Sequence[tuple[str, str]]:
    """Whom a task may be given to, with whoever has it now; only an admin chooses."""
    if not current_actor().is_admin:
        return []
    with reading() as session:
        found = list_staff(session)
    choices = [
        (str(user.id), f"{user.username} ({gettext(ROLE_WORDS[user.role])})") for user in found
    ]
    if task and task.assignee_id and str(task.assignee_id) not in dict(choices):
        choices.append((str(task.assignee_id), name))
    return choices


def _task_page(shown: ShopTask, form: Form | None = None) -> Response:
    found = shown.task
    values = {
        "title": found.title,
        "description": found.description,
        "due_at": local_day(found.due_at),
        "assignee_id": found.assignee_id,
        "priority": found.priority,
        "status": found.status,
    }
    return page(
        "office/task.html",
        shown=shown,
        form=form or Form(values),
        fields=_fields_for(found),
        may_delete=owns_task(current_actor(), found) and found.kind == TaskKind.MANUAL,
        staff=_staff(found, shown.assignee_name),
        is_money=found.kind in MONEY_TASKS,
        **_WORDS,
    )


def _new_page(form: Form) -> Response:
    return page("office/task_new.html", form=form, staff=_staff(), **_WORDS)
