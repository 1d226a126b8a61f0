"""Giving money back: asked for, approved by another admin, sent by M-Pesa or done by hand."""

from collections.abc import Callable
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.context import current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_in_phases, run_once
from app.controllers.paging import page_response
from app.db import reading
from app.errors import AppError, BadGateway, Unavailable
from app.jobs.refunds import send_refund
from app.jobs.rules import refund_rules
from app.models import Refund
from app.policies import Role
from app.ports import GatewayError
from app.schemas.base import page_of
from app.schemas.problem import ProblemSchema
from app.schemas.refund import (
    ReasonSchema,
    RefundAskSchema,
    RefundQuery,
    RefundReceiptSchema,
    RefundSchema,
)
from app.security import current_actor, require_role
from app.services.refunds import (
    RefundRequest,
    approve_refund,
    find_refund,
    list_refunds,
    record_by_hand,
    record_not_gone,
    reject_refund,
    request_refund,
    request_refund_of_receipt,
)

refunds = Blueprint("refunds", __name__, description="Money that goes back to customers.")


@refunds.post("/transactions/<id:transaction_id>/refund")
@require_role(Role.ADMIN)
@refunds.arguments(RefundAskSchema)
@refunds.response(202, RefundSchema)
@refunds.alt_response(502, schema=ProblemSchema)
def refund_transaction(ask: RefundRequest, transaction_id: int) -> Response:
    """Give a payment back, whole or in part.

    A 202 means that it is on record: read what becomes of it with `GET /api/refunds/<id>`. One
    refund of a payment at a time; above a limit it waits for another admin. Send an
    `Idempotency-Key`, so that a second try after a lost answer gives nothing back twice.
    """

    def begin(session: Session) -> int:
        actor, rules = current_actor(), refund_rules(current_config())
        return request_refund(session, actor, transaction_id, ask, rules, now()).id

    return _run_and_send(begin, status=202)


@refunds.post("/receipts/<string:receipt>/refund")
@require_role(Role.ADMIN)
@refunds.arguments(RefundAskSchema)
@refunds.response(202, RefundSchema)
@refunds.alt_response(502, schema=ProblemSchema)
def refund_receipt(ask: RefundRequest, receipt: str) -> Response:
    """Give money back that came without an order, whole, by its M-Pesa receipt."""

    def begin(session: Session) -> int:
        actor, rules = current_actor(), refund_rules(current_config())
        return request_refund_of_receipt(session, actor, receipt.upper(), ask, rules, now()).id

    return _run_and_send(begin, status=202)


@refunds.get("/refunds")
@require_role(Role.ADMIN)
@refunds.arguments(RefundQuery, location="query")
@refunds.response(200, page_of(RefundSchema))
def get_refunds(query: dict[str, Any]) -> Response:
    """All refunds, newest first."""
    with reading() as session:
        page = list_refunds(session, current_actor(), **query)
    return page_response(page, RefundSchema)


@refunds.get("/refunds/<id:refund_id>")
@require_role(Role.ADMIN)
@refunds.response(200, RefundSchema)
def get_refund(refund_id: int) -> Refund:
    """One refund, as it stands."""
    with reading() as session:
        return find_refund(session, current_actor(), refund_id)


@refunds.post("/refunds/<id:refund_id>/approve")
@require_role(Role.ADMIN)
@refunds.response(200, RefundSchema)
@refunds.alt_response(502, schema=ProblemSchema)
def post_approve(refund_id: int) -> Response:
    """Let a refund go that another admin asked for; it is sent at once."""

    def begin(session: Session) -> int:
        actor, rules = current_actor(), refund_rules(current_config())
        return approve_refund(session, actor, refund_id, rules, now()).id

    return _run_and_send(begin, status=200)


@refunds.post("/refunds/<id:refund_id>/reject")
@require_role(Role.ADMIN)
@refunds.arguments(ReasonSchema)
@refunds.response(200, RefundSchema)
def post_reject(data: dict[str, str], refund_id: int) -> Response:
    """Do not give the money back: before it is approved, or before it is done by hand."""
    return run_once(
        lambda session: _answer(
            reject_refund(session, current_actor(), refund_id, data["reason"], now())
        )
    )


@refunds.post("/refunds/<id:refund_id>/complete")
@require_role(Role.ADMIN)
@refunds.arguments(RefundReceiptSchema)
@refunds.response(200, RefundSchema)
def post_complete(data: dict[str, str], refund_id: int) -> Response:
    """Say that the money went back, by M-Pesa's receipt for it.

    For a refund by hand, and for one that is `unknown` or had `failed`, once a person has seen the
    receipt in M-Pesa's portal. Where M-Pesa's books contradict a success that was reported, it
    takes the place of the receipt that came with that.
    """
    return run_once(
        lambda session: _answer(
            record_by_hand(session, current_actor(), refund_id, data["refund_receipt"], now())
        )
    )


@refunds.post("/refunds/<id:refund_id>/fail")
@require_role(Role.ADMIN)
@refunds.arguments(ReasonSchema)
@refunds.response(200, RefundSchema)
def post_fail(data: dict[str, str], refund_id: int) -> Response:
    """Say that the money of an `unknown` refund did not go back; it may be refunded again then."""
    return run_once(
        lambda session: _answer(
            record_not_gone(session, current_actor(), refund_id, data["reason"], now())
        )
    )


def _run_and_send(begin: Callable[[Session], int], *, status: int) -> Response:
    """Put it on record, have it sent, and answer how it stands then."""
    work = current_work()

    def send(refund_id: int) -> None:
        refusal = send_refund(work, refund_id)
        if refusal is not None:
            raise _refusal_for_people(refusal, refund_id)

    def answer(session: Session, refund_id: int) -> Answer:
        return _answer(find_refund(session, current_actor(), refund_id), status)

    return run_in_phases(begin, send, answer)


def _answer(refund: Refund, status: int = 200) -> Answer:
    location = f"/api/refunds/{refund.id}" if status == 202 else None  # noqa: PLR2004 - Accepted
    return Answer(status, dict(RefundSchema().dump(refund)), location)


def _refusal_for_people(refusal: GatewayError, refund_id: int) -> AppError:
    """What an admin is told when surely nothing goes back; the refund is kept as failed."""
    detail = f"M-Pesa did not take the refund, and nothing went back: {refusal.message}"
    if refusal.retry_after_seconds is not None:
        return Unavailable(
            detail,
            code="payment_network_unavailable",
            retry_after_seconds=refusal.retry_after_seconds,
            refund_id=refund_id,
        )
    return BadGateway(detail, refund_id=refund_id)
