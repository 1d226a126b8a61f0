"""What only a person can decide about money: the queue, all that is known, what solves it."""

from typing import Any

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from app.context import current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_in_phases, run_once
from app.controllers.paging import page_response
from app.db import reading
from app.jobs.process_message import process_message
from app.policies import Role
from app.schemas.base import page_of
from app.schemas.exception import (
    AttachmentForesightSchema,
    AttachQuery,
    AttachSchema,
    CorrectSchema,
    DecisionReasonSchema,
    ExceptionCountsSchema,
    ExceptionFileSchema,
    ExceptionQuery,
    ExceptionSchema,
    NoteSchema,
    PaidSchema,
    ReceiptGivenSchema,
)
from app.schemas.problem import ProblemSchema
from app.security import current_actor, require_role
from app.services.exceptions import (
    Attachment,
    ExceptionFile,
    PaidWord,
    attach_to_order,
    count_exceptions,
    dismiss,
    foresee_attachment,
    give_receipt,
    give_right_amount,
    list_exceptions,
    read_exception,
    retry_message,
    say_it_is_not_there,
    say_it_is_there,
    say_not_paid,
    say_paid,
    write_note,
)

exceptions = Blueprint(
    "exceptions", __name__, description="Money that only a person can decide about."
)
_file = ExceptionFileSchema()
_counts = ma.fields.Nested(ExceptionCountsSchema, required=True)


@exceptions.get("/exceptions")
@require_role(Role.ADMIN)
@exceptions.arguments(ExceptionQuery, location="query")
@exceptions.response(200, page_of(ExceptionSchema, counts=_counts))
def get_exceptions(query: dict[str, Any]) -> Response:
    """What waits for a decision, the oldest first; `sort=most_money` the biggest."""
    with reading() as session:
        page = list_exceptions(session, current_actor(), **query)
        counts = count_exceptions(session, current_actor())
    return page_response(page, ExceptionSchema, counts=ExceptionCountsSchema().dump(counts))


@exceptions.get("/exceptions/<id:exception_id>")
@require_role(Role.ADMIN)
@exceptions.response(200, ExceptionFileSchema)
def get_exception(exception_id: int) -> ExceptionFile:
    """One matter with everything that is known of it, and what may be done now."""
    with reading() as session:
        return read_exception(session, current_actor(), exception_id, now())


@exceptions.get("/exceptions/<id:exception_id>/attach")
@require_role(Role.ADMIN)
@exceptions.arguments(AttachQuery, location="query")
@exceptions.response(200, AttachmentForesightSchema)
@exceptions.alt_response(409, schema=ProblemSchema)
def get_attachment(query: dict[str, str], exception_id: int) -> dict[str, Any]:
    """What the money would do to an order, told before it does it. Changes nothing."""
    with reading() as session:
        order, foresight = foresee_attachment(
            session, current_actor(), exception_id, query["order_number"]
        )
    return {
        "order_id": order.id,
        "order_number": order.number,
        "effect": foresight.effect,
        "excess_cents": foresight.excess_cents,
        "lacking_cents": foresight.lacking_cents,
    }


@exceptions.post("/exceptions/<id:exception_id>/attach")
@require_role(Role.ADMIN)
@exceptions.arguments(AttachSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_attach(ask: Attachment, exception_id: int) -> Response:
    """Money without an order is for this one; an order that is paid or over takes it as well."""

    def decide(session: Session) -> Answer:
        attach_to_order(session, current_actor(), exception_id, ask, now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/dismiss")
@require_role(Role.ADMIN)
@exceptions.arguments(DecisionReasonSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_dismiss(why: dict[str, str], exception_id: int) -> Response:
    """Close it with a reason. What is still owed, or has no end yet, cannot be closed so."""

    def decide(session: Session) -> Answer:
        dismiss(session, current_actor(), exception_id, why["reason"], now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/paid")
@require_role(Role.ADMIN)
@exceptions.arguments(PaidSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_paid(word: PaidWord, exception_id: int) -> Response:
    """The money is on M-Pesa's statement: it counts, once."""

    def decide(session: Session) -> Answer:
        say_paid(session, current_actor(), exception_id, word, now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/not-paid")
@require_role(Role.ADMIN)
@exceptions.arguments(DecisionReasonSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_not_paid(why: dict[str, str], exception_id: int) -> Response:
    """It is not on the statement: the payment failed, and its order may be paid again."""

    def decide(session: Session) -> Answer:
        say_not_paid(session, current_actor(), exception_id, why["reason"], now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/receipt")
@require_role(Role.ADMIN)
@exceptions.arguments(ReceiptGivenSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_receipt(word: PaidWord, exception_id: int) -> Response:
    """The receipt of a payment that M-Pesa called paid without naming one."""

    def decide(session: Session) -> Answer:
        give_receipt(session, current_actor(), exception_id, word, now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/is-there")
@require_role(Role.ADMIN)
@exceptions.arguments(DecisionReasonSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_is_there(why: dict[str, str], exception_id: int) -> Response:
    """The doubted money is on the statement: the goods may go."""

    def decide(session: Session) -> Answer:
        say_it_is_there(session, current_actor(), exception_id, why["reason"], now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/not-there")
@require_role(Role.ADMIN)
@exceptions.arguments(DecisionReasonSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_not_there(why: dict[str, str], exception_id: int) -> Response:
    """The report was forged, or the money taken back: it leaves the books by a correction.

    An order whose goods are still here is called off; what has left is a loss.
    """

    def decide(session: Session) -> Answer:
        say_it_is_not_there(session, current_actor(), exception_id, why["reason"], now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/correct")
@require_role(Role.ADMIN)
@exceptions.arguments(CorrectSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_correct(right: dict[str, Any], exception_id: int) -> Response:
    """M-Pesa's books have another amount for money that came by itself, and theirs is right."""

    def decide(session: Session) -> Answer:
        cents, reason = right["amount"], right["reason"]
        give_right_amount(session, current_actor(), exception_id, cents, reason, now())
        return _answer(session, exception_id)

    return run_once(decide)


@exceptions.post("/exceptions/<id:exception_id>/retry")
@require_role(Role.ADMIN)
@exceptions.response(200, ExceptionFileSchema)
def post_retry(exception_id: int) -> Response:
    """Process a stuck message again, now; the matter ends when it succeeds."""
    work = current_work()

    def begin(session: Session) -> int:
        return retry_message(session, current_actor(), exception_id, now())

    def answer(session: Session, _message_id: int) -> Answer:
        return _answer(session, exception_id)

    return run_in_phases(begin, lambda message_id: process_message(work, message_id), answer)


@exceptions.post("/exceptions/<id:exception_id>/note")
@require_role(Role.ADMIN)
@exceptions.arguments(NoteSchema)
@exceptions.response(200, ExceptionFileSchema)
def post_note(said: dict[str, str], exception_id: int) -> Response:
    """Write down what was found out; nothing else changes."""

    def decide(session: Session) -> Answer:
        write_note(session, current_actor(), exception_id, said["note"], now())
        return _answer(session, exception_id)

    return run_once(decide)


def _answer(session: Session, exception_id: int) -> Answer:
    session.flush()
    file = read_exception(session, current_actor(), exception_id, now())
    return Answer(200, dict(_file.dump(file)))
