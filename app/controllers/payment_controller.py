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
from app.controllers.inbox import ACCEPTED, keep_and_answer
from app.controllers.paging import page_response
from app.controllers.probes import hear_probe
from app.db import current_database, reading
from app.errors import AppError, BadGateway, Conflict, NotFound, TooManyRequests, Unavailable
from app.integrations.mpesa import MpesaPhoneBusy
from app.jobs.push import push_now
from app.jobs.rules import menu_number, payment_rules
from app.models import LIVE_STATES, InboxSource
from app.ports import GatewayError
from app.schemas.base import page_of
from app.schemas.order import MenuPaymentSchema
from app.schemas.payment import (
    CallbackAnswerSchema,
    StkPushSchema,
    TransactionQuery,
    TransactionSchema,
    WaitQuery,
)
from app.schemas.problem import ProblemSchema
from app.security import current_actor, public, require_user
from app.services.inbox import is_secret_of_payment
from app.services.menu_payment import menu_payment_of
from app.services.probes import PROBE_ID
from app.services.read_orders import find_order
from app.services.read_payments import PaymentView, view_payment, view_payments
from app.services.request_payment import PaymentRequest, request_payment
from app.utils.callback_secret import CallbackSecret, split_callback_token
from app.utils.gate import aside
from app.utils.limiter import by_address, spend

payments = Blueprint(
    "payments", __name__, description="M-Pesa: prompts, callbacks and transactions."
)

log = structlog.get_logger()
_POLL_SECONDS = 0.25
_PAYABLE_OTHERWISE = (Conflict, TooManyRequests, BadGateway, Unavailable)
"""Refusals of a prompt after which the order may still be paid from the M-Pesa menu."""

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
        view = view_payment(session, actor, payment_id)
        location = f"/api/transactions/{payment_id}"
        return Answer(202, dict(TransactionSchema().dump(view)), location)

    try:
        return run_in_phases(begin, push, answer)
    except _PAYABLE_OTHERWISE as refusal:
        _add_another_way(refusal, ask.order_id)
        raise


@payments.post("/pay/cb/<string:token>")
@public
@payments.response(200, CallbackAnswerSchema)
@payments.alt_response(413, schema=ProblemSchema)
def receive_callback(token: str) -> Response:
    """Safaricom's report on one prompt, at the address that only Safaricom was given."""
    parts = split_callback_token(token)
    if parts is None:
        raise NotFound("There is nothing at this address.")
    number, secret = parts
    if number == PROBE_ID and hear_probe(secret):
        return jsonify(ACCEPTED)
    if not is_secret_of_payment(current_database().asking, number, secret):
        log.warning("callback_with_wrong_secret", remote_addr=request.remote_addr)
        raise NotFound("There is nothing at this address.")
    return keep_and_answer(InboxSource.STK_CALLBACK, ACCEPTED, payment_id=number)


@payments.post("/mpesa/callback")
@public
@payments.response(200, CallbackAnswerSchema)
@payments.alt_response(413, schema=ProblemSchema)
@payments.alt_response(429, schema=ProblemSchema)
def receive_unsigned_callback() -> Response:
    """A report that proves nothing by itself: the payment that it names is queried."""
    spend("unsigned_callback_limit", by_address())
    return keep_and_answer(InboxSource.UNSIGNED_CALLBACK, ACCEPTED)


@payments.get("/transactions")
@require_user
@payments.arguments(TransactionQuery, location="query")
@payments.response(200, page_of(TransactionSchema))
def get_transactions(query: dict[str, Any]) -> Response:
    """Your transactions; an admin's all. Newest first."""
    with reading() as session:
        page = view_payments(session, current_actor(), **query)
    return page_response(page, TransactionSchema)


@payments.get("/transactions/<id:transaction_id>")
@require_user
@payments.arguments(WaitQuery, location="query")
@payments.response(200, TransactionSchema)
def get_transaction(query: dict[str, int], transaction_id: int) -> PaymentView:
    """One transaction; with `wait`, answered as soon as it is final."""
    view = _read(transaction_id)
    if query["wait"] == 0 or view.payment.status not in LIVE_STATES:
        return view
    if not _waiters.acquire(blocking=False):
        return view
    try:
        deadline = time.monotonic() + query["wait"]
        while view.payment.status in LIVE_STATES and time.monotonic() < deadline:
            with aside():
                time.sleep(_POLL_SECONDS)
            view = _read(transaction_id)
        return view
    finally:
        _waiters.release()


def _read(transaction_id: int) -> PaymentView:
    with reading() as session:
        return view_payment(session, current_actor(), transaction_id)


def _add_another_way(refusal: AppError, order_id: int) -> None:
    """Have a refusal say also what to type in the M-Pesa menu, where no prompt is out."""
    with reading() as session:
        view = find_order(session, current_actor(), order_id)
    menu_payment = menu_payment_of(view, menu_number(current_config()), now())
    if menu_payment is not None:
        refusal.extra["pay_by_paybill"] = dict(MenuPaymentSchema().dump(menu_payment))


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
