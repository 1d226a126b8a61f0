"""What an admin decides about a matter of money: each a form on its page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response, g, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_work, now
from app.db import reading, transaction
from app.errors import AppError
from app.jobs.process_message import process_message
from app.models import TaskPriority, TaskStatus
from app.policies import Actor, Role
from app.schemas.base import QueryId, Schema
from app.schemas.catalogue_csv import CellMoney
from app.schemas.exception import (
    AttachQuery,
    AttachSchema,
    CorrectSchema,
    DecisionReasonSchema,
    NoteSchema,
    PaidSchema,
    ReceiptGivenSchema,
)
from app.security import current_actor
from app.services.change_tasks import TaskChange, change_task
from app.services.exceptions import (
    Action,
    Attachment,
    PaidWord,
    attach_to_order,
    dismiss,
    foresee_attachment,
    give_receipt,
    give_right_amount,
    read_exception,
    retry_message,
    say_it_is_not_there,
    say_it_is_there,
    say_not_paid,
    say_paid,
    write_note,
)
from app.services.read_orders import find_order
from app.utils.unset import UNSET
from app.web.fields import EndOfDay
from app.web.formats import local_day
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.exception_words import EFFECT_DONE
from app.web.office.exceptions import WORDS, exception_page
from app.web.pages import Form, done, page, refused_form, submit
from app.web.visitors import role_page


@dataclass(frozen=True, slots=True)
class Decided:
    """One form: what it holds, what is done with it, and what is said then."""

    action: Action
    schema: type[ma.Schema]
    decide: Callable[[Session, Actor, int, Any], object]
    said: str

    @property
    def path(self) -> str:
        return self.action.replace("_", "-")


def _dismiss(session: Session, actor: Actor, task_id: int, why: dict[str, str]) -> None:
    dismiss(session, actor, task_id, why["reason"], now())


def _paid(session: Session, actor: Actor, task_id: int, word: PaidWord) -> None:
    say_paid(session, actor, task_id, word, now())


def _not_paid(session: Session, actor: Actor, task_id: int, why: dict[str, str]) -> None:
    say_not_paid(session, actor, task_id, why["reason"], now())


def _receipt(session: Session, actor: Actor, task_id: int, word: PaidWord) -> None:
    give_receipt(session, actor, task_id, word, now())


def _is_there(session: Session, actor: Actor, task_id: int, why: dict[str, str]) -> None:
    say_it_is_there(session, actor, task_id, why["reason"], now())


def _not_there(session: Session, actor: Actor, task_id: int, why: dict[str, str]) -> None:
    say_it_is_not_there(session, actor, task_id, why["reason"], now())


def _correct(session: Session, actor: Actor, task_id: int, right: dict[str, Any]) -> None:
    give_right_amount(session, actor, task_id, right["amount"], right["reason"], now())


def _note(session: Session, actor: Actor, task_id: int, said: dict[str, str]) -> None:
    write_note(session, actor, task_id, said["note"], now())


class PaidForm(PaidSchema):
    """Amounts as people write them."""

    amount = CellMoney(minimum_cents=1, load_default=None)


class CorrectForm(CorrectSchema):
    """Likewise."""

    amount = CellMoney(minimum_cents=1, required=True)


DECISIONS = (
    Decided(Action.DISMISS, DecisionReasonSchema, _dismiss, mark("It is closed.")),
    Decided(Action.PAID, PaidForm, _paid, mark("The money is counted.")),
    Decided(
        Action.NOT_PAID,
        DecisionReasonSchema,
        _not_paid,
        mark("It is not paid, and the buyer is told. M-Pesa is asked once more."),
    ),
    Decided(Action.RECEIPT, ReceiptGivenSchema, _receipt, mark("The receipt is written down.")),
    Decided(Action.IS_THERE, DecisionReasonSchema, _is_there, mark("The goods may go.")),
    Decided(
        Action.NOT_THERE,
        DecisionReasonSchema,
        _not_there,
        mark("The money is out of the books, and the buyer is told."),
    ),
    Decided(Action.CORRECT, CorrectForm, _correct, mark("The amount is corrected.")),
    Decided(Action.NOTE, NoteSchema, _note, mark("The note is saved.")),
)


def _view_of(decided: Decided) -> Callable[[int], AnyResponse]:
    def view(task_id: int) -> AnyResponse:
        def act(command: Any) -> AnyResponse:
            with transaction() as session:
                decided.decide(session, current_actor(), task_id, command)
            return done(gettext(decided.said), "office.exception", task_id=task_id)

        return submit(decided.schema(), act, partial(_again, task_id, decided.action))

    view.__name__ = f"decide_{decided.action}"
    view.__doc__ = f"The form of “{decided.action}”."
    return view


for _decided in DECISIONS:
    office.post(f"/office/exceptions/<id:task_id>/{_decided.path}")(
        role_page(Role.ADMIN)(_view_of(_decided))
    )


@office.get("/office/exceptions/<id:task_id>/attach")
@role_page(Role.ADMIN)
def look_at_attachment(task_id: int) -> AnyResponse:
    """What the money would do to an order, before it does it."""
    try:
        asked = AttachQuery().load({"order_number": request.args.get("order_number", "")})
    except ma.ValidationError:
        form = Form({}, {"order_number": gettext("There is no order with this number.")})
        return _refused(task_id, form, 400)
    return _attach_page(task_id, asked["order_number"], Form())


@office.post("/office/exceptions/<id:task_id>/attach")
@role_page(Role.ADMIN)
def attach(task_id: int) -> AnyResponse:
    """Give the money to an order, as it was shown."""

    def act(ask: Attachment) -> AnyResponse:
        with transaction() as session:
            _, foresight = foresee_attachment(session, current_actor(), task_id, ask.order_number)
            attach_to_order(session, current_actor(), task_id, ask, now())
        return done(gettext(EFFECT_DONE[foresight.effect]), "office.exception", task_id=task_id)

    def again(form: Form) -> str:
        number = request.form.get("order_number", "")
        return _attach_page(task_id, number, form).get_data(as_text=True)

    return submit(AttachSchema(), act, again)


@office.post("/office/exceptions/<id:task_id>/retry")
@role_page(Role.ADMIN)
def retry(task_id: int) -> AnyResponse:
    """Process a stuck message again, now."""
    work = current_work()

    def act(_nothing: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            message_id = retry_message(session, current_actor(), task_id, now())
        process_message(work, message_id)
        with reading() as session:
            is_open = read_exception(session, current_actor(), task_id, now()).situation.is_open
        said = (
            gettext("It failed again: see the error.") if is_open else gettext("It is processed.")
        )
        return done(said, "office.exception", task_id=task_id)

    return submit(Schema(), act, partial(_again, task_id, Action.RETRY))


class CareForm(Schema):
    """Who looks after a matter, and until when; a field that is left empty is empty."""

    due_at = EndOfDay(load_default=None)
    assignee_id = QueryId(load_default=None)
    status = ma.fields.Enum(TaskStatus, by_value=True)
    priority = ma.fields.Enum(TaskPriority, by_value=True)


@office.post("/office/exceptions/<id:task_id>/task")
@role_page(Role.ADMIN)
def look_after(task_id: int) -> AnyResponse:
    """Give a matter to somebody, with a day until when."""
    with reading() as session:
        task = read_exception(session, current_actor(), task_id, now()).task

    def act(data: dict[str, Any]) -> AnyResponse:
        if request.form.get("due_at") == local_day(task.due_at):
            data.pop("due_at", None)  # the day stays, and with it the hour that it had
        change = TaskChange(**{name: data.get(name, UNSET) for name in CareForm().fields})
        with transaction() as session:
            change_task(session, current_actor(), task_id, change, now())
        return done(gettext("The task is saved."), "office.exception", task_id=task_id)

    return submit(CareForm(), act, partial(_again, task_id, "task"))


def _again(task_id: int, action: str, form: Form) -> str:
    return exception_page(task_id, form, at=action).get_data(as_text=True)


def _refused(task_id: int, form: Form, status: int) -> Response:
    response = exception_page(task_id, form, at=Action.ATTACH)
    response.status_code = status
    return response


def _attach_page(task_id: int, number: str, form: Form) -> Response:
    try:
        with reading() as session:
            order, foresight = foresee_attachment(session, current_actor(), task_id, number)
            view = find_order(session, current_actor(), order.id)
            file = read_exception(session, current_actor(), task_id, now())
    except AppError as refusal:
        if refusal.status == 404:  # noqa: PLR2004 - what is not there has no page
            raise
        g.problem_code = refusal.code
        return _refused(task_id, refused_form(refusal, {"order_number": number}), refusal.status)
    return page(
        "office/exception_attach.html",
        file=file,
        view=view,
        foresight=foresight,
        form=form,
        **WORDS,
    )
