"""M-Pesa: asking a phone to pay, hearing what became of it, reading transactions."""

import time
from threading import BoundedSemaphore
from typing import Any

import structlog
from flask import Response, jsonify, request
from sqlalchemy.orm import Session

from app.context import current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_in_phases
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.errors import AppError, BadGateway, Conflict, NotFound, Unavailable
from app.integrations.mpesa import MpesaPhoneBusy
from app.jobs.process_message import process_message
from app.jobs.push import push_now
from app.jobs.rules import payment_rules
from app.jobs.work import Work
from app.models import LIVE_STATES, InboxSource, Payment
from app.ports import GatewayError
from app.schemas.base import page_of
from app.schemas.payment import (
    CallbackAnswerSchema,
    StkPushSchema,
    TransactionQuery,
    TransactionSchema,
    WaitQuery,
)
from app.schemas.problem import ProblemSchema
from app.security import current_actor, public, require_user
from app.services.inbox import MAX_BODY_BYTES, ReceivedMessage, find_payment_by_secret, keep_message
from app.services.read_payments import find_payment, list_payments
from app.services.request_payment import PaymentRequest, request_payment
from app.utils.callback_secret import CallbackSecret, split_callback_token
from app.utils.failpoints import failpoint
from app.utils.gate import aside
from app.utils.limiter import by_address, spend

payments = Blueprint(
    "payments", __name__, description="M-Pesa: prompts, callbacks and transactions."
)

log = structlog.get_logger()
ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
_KEPT_HEADERS = ("content-type", "businessshortcode", "user-agent", "x-forwarded-for")
_LONGEST_ADDRESS = 45
_POLL_SECONDS = 0.25
_waiters = BoundedSemaphore(4)
"""So many requests may wait for a payment at once in a process; the next is answered at once."""


@payments.post("/mpesa/stkpush")
@require_user
@payments.arguments(StkPushSchema)
@payments.response(202, TransactionSchema)
@payments.alt_response(403, schema=ProblemSchema)
@payments.alt_response(404, schema=ProblemSchema)
@payments.alt_response(502, schema=ProblemSchema)
def stk_push(ask: PaymentRequest) -> Response:
    """Ask the customer's phone to approve the order's amount due.

    A 202 means that a prompt is out, or may be: nothing is paid until the transaction's `status`
    is `succeeded`. Read it with `GET /api/transactions/<id>?wait=20`.
    """
    actor, work = current_actor(), current_work()
    spend("prompt_user_limit", actor.user_id)
    secret = CallbackSecret.new()

    def begin(session: Session) -> int:
        return request_payment(
            session, actor, ask, secret, payment_rules(current_config()), now()
        ).id

    def push(payment_id: int) -> None:
        refusal = push_now(work, payment_id, secret)
        if refusal is not None:
            raise _refusal_for_people(refusal, payment_id)

    def answer(session: Session, payment_id: int) -> Answer:
        payment = find_payment(session, actor, payment_id)
        location = f"/api/transactions/{payment_id}"
        return Answer(202, dict(TransactionSchema().dump(payment)), location)

    return run_in_phases(begin, push, answer)


@payments.post("/pay/cb/<string:token>")
@public
@payments.response(200, CallbackAnswerSchema)
@payments.alt_response(413, schema=ProblemSchema)
def receive_callback(token: str) -> Response:
    """Safaricom's report on one prompt, at the address that only Safaricom was given."""
    parts = split_callback_token(token)
    if parts is None:
        raise NotFound("There is nothing at this address.")
    with reading() as session:
        payment = find_payment_by_secret(session, *parts)
    if payment is None:
        log.warning("callback_with_wrong_secret", remote_addr=request.remote_addr)
        raise NotFound("There is nothing at this address.")
    return _keep_and_answer(InboxSource.STK_CALLBACK, payment.id)


@payments.post("/mpesa/callback")
@public
@payments.response(200, CallbackAnswerSchema)
@payments.alt_response(413, schema=ProblemSchema)
@payments.alt_response(429, schema=ProblemSchema)
def receive_unsigned_callback() -> Response:
    """A report that proves nothing by itself: the payment that it names is queried."""
    spend("unsigned_callback_limit", by_address())
    return _keep_and_answer(InboxSource.UNSIGNED_CALLBACK, None)


@payments.get("/transactions")
@require_user
@payments.arguments(TransactionQuery, location="query")
@payments.response(200, page_of(TransactionSchema))
def get_transactions(query: dict[str, Any]) -> Response:
    """Your transactions; an admin's all. Newest first."""
    with reading() as session:
        page = list_payments(session, current_actor(), **query)
    return page_response(page, TransactionSchema)


@payments.get("/transactions/<id:transaction_id>")
@require_user
@payments.arguments(WaitQuery, location="query")
@payments.response(200, TransactionSchema)
def get_transaction(query: dict[str, int], transaction_id: int) -> Payment:
    """One transaction; with `wait`, answered as soon as it is final."""
    actor = current_actor()
    with reading() as session:
        payment = find_payment(session, actor, transaction_id)
    if query["wait"] == 0 or payment.status not in LIVE_STATES:
        return payment
    if not _waiters.acquire(blocking=False):
        return payment
    try:
        deadline = time.monotonic() + query["wait"]
        while payment.status in LIVE_STATES and time.monotonic() < deadline:
            with aside():
                time.sleep(_POLL_SECONDS)
            with reading() as session:
                payment = find_payment(session, actor, transaction_id)
        return payment
    finally:
        _waiters.release()


def _keep_and_answer(source: InboxSource, payment_id: int | None) -> Response:
    """Store the body and answer 200; reading it waits for nobody and keeps nobody waiting.

    A thread of this process reads it at once. If the process dies first, the sweep finds the row.
    """
    message = ReceivedMessage(
        source=source,
        body=request.get_data(cache=False)[: MAX_BODY_BYTES + 1],
        headers={
            name: value[:300]
            for name in _KEPT_HEADERS
            if (value := request.headers.get(name)) is not None
        },
        remote_addr=(request.remote_addr or "")[:_LONGEST_ADDRESS] or None,
        payment_id=payment_id,
    )
    work = current_work()
    with transaction() as session:
        message_id = keep_message(session, message, now()).id
    failpoint("after_inbox_commit")
    if not work.ports.run_soon(lambda: _process_after_answer(work, message_id)):
        work.ports.doorbell.ring("process_message", message_id)
    return jsonify(ACCEPTED)


def _process_after_answer(work: Work, message_id: int) -> None:
    failpoint("beside_callback_answer")
    try:
        process_message(work, message_id)
    except Exception:
        log.exception("callback_left_to_the_worker", message_id=message_id)
        work.ports.doorbell.ring("process_message", message_id)


def _refusal_for_people(refusal: GatewayError, payment_id: int) -> AppError:
    """What the payer is told when surely no prompt went out; the transaction is kept as failed."""
    detail = refusal.customer_message or "M-Pesa did not take the request. Nothing was charged."
    if isinstance(refusal, MpesaPhoneBusy):
        return Conflict(
            detail,
            code="phone_busy",
            retry_after_seconds=refusal.retry_after_seconds or 60,
            transaction_id=payment_id,
        )
    if refusal.retry_after_seconds is not None:
        return Unavailable(
            detail,
            code="payment_network_unavailable",
            retry_after_seconds=refusal.retry_after_seconds,
            transaction_id=payment_id,
        )
    return BadGateway(detail, transaction_id=payment_id)
