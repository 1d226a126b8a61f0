"""Tasks on the wire."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import TaskKind, TaskPriority, TaskStatus
from app.schemas.base import (
    ListQuery,
    PlainText,
    PositiveId,
    QueryId,
    Schema,
    Timestamp,
    take_page,
)
from app.services.change_tasks import NewTask, TaskChange
from app.services.tasks import TaskFilter

LONGEST_DESCRIPTION = 10_000
_STATUSES = [status.value for status in TaskStatus]
_PRIORITIES = [priority.value for priority in TaskPriority]
_KINDS = [kind.value for kind in TaskKind]

_TITLE = {"example": "Pack the boots"}
_DESCRIPTION = {"description": "Plain text."}
_DUE = {"description": "When it is to be done.", "format": "date-time", "type": "string"}
_ASSIGNEE = {"description": "Who is to do it. They are told, and may change status and priority."}
_ORDER = {"description": "The order that it is about."}


def _among(values: list[str], **options: Any) -> ma.fields.String:
    among = validate.OneOf(values, error=f"Must be one of {', '.join(values)}.")
    return ma.fields.String(validate=among, **options)


class _TaskBody(Schema):
    description = PlainText(max=LONGEST_DESCRIPTION, multiline=True, metadata=_DESCRIPTION)
    status = _among(_STATUSES)
    priority = _among(_PRIORITIES)
    due_at = Timestamp(allow_none=True, metadata=_DUE)
    assignee_id = PositiveId(allow_none=True, metadata=_ASSIGNEE)
    order_id = PositiveId(allow_none=True, metadata=_ORDER)


def _typed(data: dict[str, Any]) -> dict[str, Any]:
    """Words that were checked become the states that they stand for."""
    for name, states in (("status", TaskStatus), ("priority", TaskPriority), ("kind", TaskKind)):
        if data.get(name) is not None:
            data[name] = states(data[name])
    return data


class NewTaskSchema(_TaskBody):
    title = PlainText(min=1, max=200, required=True, metadata=_TITLE)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewTask:
        return NewTask(**_typed(data))


class TaskChangeSchema(_TaskBody):
    """Any of the fields; the others stay as they are."""

    title = PlainText(min=1, max=200, metadata=_TITLE)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> TaskChange:
        return TaskChange(**_typed(data))


class TaskQuery(ListQuery):
    status = _among(_STATUSES, load_default=None)
    kind = _among(
        _KINDS,
        load_default=None,
        metadata={"description": "`manual`, or what the shop filed it for."},
    )
    assignee_id = QueryId(load_default=None)
    order_id = QueryId(load_default=None)
    due_before = Timestamp(load_default=None, metadata={"format": "date-time", "type": "string"})

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        return {"wanted": TaskFilter(**_typed(data)), "page": page}


class TaskSchema(Schema):
    """Something to do. What the shop filed has no owner, and a kind that says why."""

    id = ma.fields.Integer(required=True, metadata={"example": 5})
    kind = _among(_KINDS, required=True)
    title = ma.fields.String(required=True, metadata=_TITLE)
    description = ma.fields.String(required=True, metadata=_DESCRIPTION)
    status = _among(_STATUSES, required=True)
    priority = _among(_PRIORITIES, required=True)
    due_at = Timestamp(required=True, allow_none=True, metadata=_DUE)
    owner_id = ma.fields.Integer(required=True, allow_none=True)
    assignee_id = ma.fields.Integer(required=True, allow_none=True, metadata=_ASSIGNEE)
    order_id = ma.fields.Integer(required=True, allow_none=True, metadata=_ORDER)
    payment_id = ma.fields.Integer(required=True, allow_none=True)
    created_at = Timestamp(required=True, metadata={"format": "date-time", "type": "string"})
    updated_at = Timestamp(required=True, metadata={"format": "date-time", "type": "string"})
