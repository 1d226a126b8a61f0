"""Things to do: people's own, those they were given, and what the shop files for admins."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.context import now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.models import Task
from app.schemas.base import page_of
from app.schemas.problem import ProblemSchema
from app.schemas.task import NewTaskSchema, TaskChangeSchema, TaskQuery, TaskSchema
from app.security import current_actor, require_user
from app.services.change_tasks import NewTask, TaskChange, change_task, create_task, delete_task
from app.services.tasks import find_task, list_tasks

tasks = Blueprint("tasks", __name__, description="Things to do, and who does them.")
_schema = TaskSchema()


@tasks.post("/tasks")
@require_user
@tasks.arguments(NewTaskSchema)
@tasks.response(201, TaskSchema)
@tasks.alt_response(403, schema=ProblemSchema)
def post_task(new: NewTask) -> Response:
    """Write down a task of your own.

    Admins may give it to anyone, sellers if it is about an order with their products.
    """

    def work(session: Session) -> Answer:
        task = create_task(session, current_actor(), new, now())
        return Answer(201, _schema.dump(task), location=f"/api/tasks/{task.id}")

    return run_once(work)


@tasks.get("/tasks")
@require_user
@tasks.arguments(TaskQuery, location="query")
@tasks.response(200, page_of(TaskSchema))
def get_tasks(query: dict[str, Any]) -> Response:
    """Your own tasks and those given to you; an admin's all. Newest first."""
    with reading() as session:
        page = list_tasks(session, current_actor(), **query)
    return page_response(page, _schema)


@tasks.get("/tasks/<id:task_id>")
@require_user
@tasks.response(200, TaskSchema)
def get_task(task_id: int) -> Task:
    """One task, for its owner, whom it was given to, and admins."""
    with reading() as session:
        return find_task(session, current_actor(), task_id)


@tasks.route("/tasks/<id:task_id>", methods=["PUT", "PATCH"])
@require_user
@tasks.arguments(TaskChangeSchema)
@tasks.response(200, TaskSchema)
@tasks.alt_response(403, schema=ProblemSchema)
def put_task(change: TaskChange, task_id: int) -> Task:
    """Change the fields that are named. Whom it was given to may change status and priority.

    What the shop filed keeps its title, description and order.
    """
    with transaction() as session:
        return change_task(session, current_actor(), task_id, change, now())


@tasks.delete("/tasks/<id:task_id>")
@require_user
@tasks.response(204)
@tasks.alt_response(403, schema=ProblemSchema)
def remove_task(task_id: int) -> None:
    """Take a task away; what the shop filed can only be done (409)."""
    with transaction() as session:
        delete_task(session, current_actor(), task_id)
