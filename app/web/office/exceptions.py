"""What only a person can decide about money: the queue, and a page for each matter."""

from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma
from babel.dates import format_timedelta
from flask import Response
from marshmallow import validate
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading
from app.models import MONEY_TASKS
from app.policies import Role
from app.schemas.base import QueryBoolean, Schema
from app.security import current_actor
from app.services.exceptions import (
    Queued,
    QueueFilter,
    QueueOrder,
    count_exceptions,
    list_exceptions,
    read_exception,
)
from app.services.pages import Page
from app.services.shop_tasks import list_staff
from app.utils.money import cents_to_wire
from app.utils.payer import mask_payer_name, mask_payer_phone
from app.web.formats import local_day
from app.web.language import choose_language, gettext, mark
from app.web.office.blueprint import office
from app.web.office.exception_words import (
    ACTION_WORDS,
    CLUE_WORDS,
    DECISION_WORDS,
    EXCEPTION_WORDS,
    RECEIPT_WORDS,
)
from app.web.office.lists import look_up
from app.web.office.raw import readable
from app.web.office.words import (
    KIND_WORDS,
    MESSAGE_WORDS,
    MONEY_WORDS,
    ORDER_WORDS,
    PAYMENT_WORDS,
    PRIORITY_WORDS,
    REFUND_WORDS,
    ROLE_WORDS,
    SOURCE_WORDS,
    TASK_KIND_WORDS,
    TASK_WORDS,
)
from app.web.pages import Form, asked_page, page
from app.web.visitors import role_page

AGES = {"1": mark("A day or longer"), "7": mark("A week or longer")}
SORTS = {
    QueueOrder.OLDEST.value: mark("Oldest first"),
    QueueOrder.MOST_MONEY.value: mark("Most money first"),
}
NOBODY = "nobody"
_KINDS = [kind.value for kind in MONEY_TASKS]
WORDS: dict[str, Any] = {
    "action_words": ACTION_WORDS,
    "clue_words": CLUE_WORDS,
    "decision_words": DECISION_WORDS,
    "exception_words": EXCEPTION_WORDS,
    "kind_words": TASK_KIND_WORDS,
    "mask_name": mask_payer_name,
    "mask_phone": mask_payer_phone,
    "message_words": MESSAGE_WORDS,
    "money_words": MONEY_WORDS,
    "order_words": ORDER_WORDS,
    "payment_kind_words": KIND_WORDS,
    "payment_words": PAYMENT_WORDS,
    "priority_words": PRIORITY_WORDS,
    "receipt_words": RECEIPT_WORDS,
    "refund_words": REFUND_WORDS,
    "source_words": SOURCE_WORDS,
    "task_words": TASK_WORDS,
}


class QueueSearch(Schema):
    """What the queue is searched by. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    kind = ma.fields.String(load_default=None, validate=validate.OneOf(_KINDS))
    sort = ma.fields.Enum(QueueOrder, by_value=True, load_default=QueueOrder.OLDEST)
    age = ma.fields.String(load_default=None, validate=validate.OneOf(list(AGES)))
    assignee = ma.fields.String(load_default=None, validate=validate.Regexp(r"nobody|[0-9]{1,18}"))
    decided = QueryBoolean(load_default=False)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> QueueFilter:
        age, assignee = data["age"], data["assignee"]
        is_named = assignee is not None and assignee != NOBODY
        return QueueFilter(
            is_open=not data["decided"],
            kind=next((kind for kind in MONEY_TASKS if kind == data["kind"]), None),
            assignee_id=int(assignee) if is_named else None,
            unassigned=assignee == NOBODY,
            filed_before=now() - timedelta(days=int(age)) if age else None,
            sort=data["sort"],
        )


@office.get("/office/exceptions")
@role_page(Role.ADMIN)
def exceptions() -> AnyResponse:
    """The queue: what waits longest first, or what is about the most money."""
    with reading() as session:
        counts = count_exceptions(session, current_actor())
    choices = [(NOBODY, gettext("Nobody yet")), *staff_choices()]
    return look_up(
        QueueSearch(),
        _find,
        "office/exceptions.html",
        counts=counts,
        ages=[(value, gettext(text)) for value, text in AGES.items()],
        sorts=[(value, gettext(text)) for value, text in SORTS.items()],
        staff=choices,
        age_of=age_of,
        **WORDS,
    )


def _find(wanted: QueueFilter) -> Page[Queued]:
    with reading() as session:
        return list_exceptions(session, current_actor(), wanted, asked_page())


@office.get("/office/exceptions/<id:task_id>")
@role_page(Role.ADMIN)
def exception(task_id: int) -> AnyResponse:
    """One matter with everything that is known of it, and what can be done now."""
    return exception_page(task_id)


def exception_page(task_id: int, form: Form | None = None, at: str = "") -> Response:
    """The page of a matter; ``form`` is what was wrong with the form of the action ``at``."""
    with reading() as session:
        file = read_exception(session, current_actor(), task_id, now())
    task = file.task
    given: dict[str, Any] = {
        "due_at": local_day(task.due_at),
        "assignee_id": task.assignee_id,
        "priority": task.priority,
        "status": task.status,
    }

    def form_of(action: str) -> Form:
        if form is not None and action == at:
            return form
        return Form(given if action == "task" else {})

    return page(
        "office/exception.html",
        file=file,
        form=form or Form(),
        form_of=form_of,
        at=at,
        staff=staff_choices(task.assignee_id, file.queued.assignee_name or ""),
        age_of=age_of,
        in_shillings=cents_to_wire,
        readable=readable,
        **WORDS,
    )


def staff_choices(assignee_id: int | None = None, name: str = "") -> list[tuple[str, str]]:
    """Whom a matter may be given to, with whoever has it now."""
    with reading() as session:
        found = list_staff(session)
    choices = [
        (str(user.id), f"{user.username} ({gettext(ROLE_WORDS[user.role])})") for user in found
    ]
    if assignee_id is not None and str(assignee_id) not in dict(choices):
        choices.append((str(assignee_id), name))
    return choices


def age_of(moment: datetime) -> str:
    """How long ago that was, in words: ``3 days``."""
    age = max(now() - moment, timedelta())
    return format_timedelta(age, "minute", threshold=1.2, locale=choose_language())
