"""The control API of money: customers who pay, registrations, and the books."""

from datetime import datetime, time
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, Conflict, NotFound

from daraja_simulator.c2b_request import ResponseType, read_payment, read_register
from daraja_simulator.calls import answer_json, this_gateway
from daraja_simulator.clock import EAT
from daraja_simulator.config import C2bVersion
from daraja_simulator.control_input import (
    is_chosen,
    read_copies,
    read_flag,
    read_object,
    take_newest,
)
from daraja_simulator.gateway import Gateway
from daraja_simulator.guard import require_control
from daraja_simulator.ledger import Movement, print_shillings, total_shillings
from daraja_simulator.payments import Payment
from daraja_simulator.services import Service
from daraja_simulator.statement import Layout, print_statement
from daraja_simulator.wire import Refused

control_money = Blueprint("control_money", __name__, url_prefix="/__sim")
control_money.before_request(require_control)


@control_money.get("/payments")
def list_payments() -> Response:
    payments = [
        payment
        for payment in this_gateway().paybill.payments()
        if is_chosen("phone", payment.phone) and is_chosen("state", payment.state.value)
    ]
    return answer_json({"payments": [one.to_json() for one in take_newest(payments)]})


@control_money.post("/payments")
def start_payment() -> Response:
    """A customer pays by the menu of the phone, at once: no token is needed."""
    gateway = this_gateway()
    body = read_object()
    try:
        wish = read_payment(body, gateway.config)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    payment = gateway.paybill.start_payment(wish, seconds=0)
    gateway.timetable.run_due()
    return answer_json(payment.to_json())


@control_money.get("/payments/<payment_id>")
def show_payment(payment_id: str) -> Response:
    return answer_json(_find_payment(payment_id).to_json())


@control_money.post("/payments/<payment_id>/replay")
def replay_confirmation(payment_id: str) -> Response:
    """Answer when every copy has been delivered or given up."""
    payment = _find_payment(payment_id)
    body = read_object()
    times = read_copies(body, "times", 1)
    at_once = read_flag(body, "at_once")
    try:
        deliveries = this_gateway().paybill.replay(payment, times, at_once=at_once)
    except ValueError as error:
        raise Conflict(str(error)) from error
    return answer_json({"deliveries": [one.to_json() for one in deliveries]})


@control_money.get("/requests")
def list_requests() -> Response:
    services = [
        service
        for service in this_gateway().services.services()
        if is_chosen("api", service.ask.api.value) and is_chosen("state", service.state.value)
    ]
    return answer_json({"requests": [one.to_json() for one in take_newest(services)]})


@control_money.get("/requests/<request_id>")
def show_request(request_id: str) -> Response:
    """By ConversationID, or by OriginatorConversationID."""
    return answer_json(_find_request(request_id).to_json())


@control_money.post("/requests/<request_id>/replay")
def replay_result(request_id: str) -> Response:
    """Answer when every copy has been delivered or given up."""
    service = _find_request(request_id)
    body = read_object()
    times = read_copies(body, "times", 1)
    at_once = read_flag(body, "at_once")
    try:
        deliveries = this_gateway().services.replay(service, times, at_once=at_once)
    except ValueError as error:
        raise Conflict(str(error)) from error
    return answer_json({"deliveries": [one.to_json() for one in deliveries]})


@control_money.get("/registration")
def show_registrations() -> Response:
    return answer_json(_registrations_json(this_gateway()))


@control_money.post("/registration")
def put_registration() -> Response:
    """Register by hand, as whoever had the shortcode before may have done."""
    gateway = this_gateway()
    body = read_object()
    version = str(body.get("version", C2bVersion.V2))
    if version not in {C2bVersion.V1, C2bVersion.V2}:
        raise BadRequest("The version is v1 or v2.")
    payload = {
        "ShortCode": body.get("shortcode"),
        "ResponseType": body.get("response_type", ResponseType.COMPLETED),
        "ConfirmationURL": body.get("confirmation_url"),
        "ValidationURL": body.get("validation_url", body.get("confirmation_url")),
    }
    try:
        wanted = read_register(payload, gateway.config)
    except Refused as refused:
        raise BadRequest(refused.refusal.message) from refused
    gateway.paybill.registrations.put(wanted, version)
    return answer_json(_registrations_json(gateway))


@control_money.post("/registration/forget")
def forget_registrations() -> Response:
    return answer_json({"forgotten": this_gateway().paybill.registrations.forget()})


@control_money.get("/ledger")
def show_ledger() -> Response:
    """What customers paid, and every movement in and out with the balance that it left."""
    gateway = this_gateway()
    movements = [
        one
        for one in gateway.ledger.movements()
        if is_chosen("phone", one.party)
        and is_chosen("merchant", one.shortcode)
        and is_chosen("kind", one.kind.value)
    ]
    payments = [one for one in movements if one.is_payment]
    return answer_json(
        {
            "payments": [_movement_json(gateway, one) for one in take_newest(payments)],
            "total": total_shillings(payments),
            "movements": [_movement_json(gateway, one) for one in take_newest(movements)],
            "balances": [_balance_json(gateway, one.shortcode) for one in gateway.config.merchants],
        }
    )


@control_money.get("/statement.csv")
def export_statement() -> Response:
    """Of a day, a moment (both in Nairobi's time), or from the beginning to now."""
    gateway = this_gateway()
    asked = request.args
    merchant = gateway.config.find_receiver(
        asked.get("merchant") or gateway.config.merchants[0].shortcode
    )
    if merchant is None:
        raise BadRequest("No merchant has that shortcode.")
    try:
        layout = Layout(asked.get("layout") or Layout.CLASSIC)
        start = _read_moment(asked.get("from"), time.min) or gateway.core.started_at
        end = _read_moment(asked.get("to"), time(23, 59, 59)) or gateway.clock.now()
    except ValueError as error:
        raise BadRequest("from and to are dates or moments; layout is classic or new.") from error
    text = print_statement(gateway.core, merchant, start, end, layout)
    name = f"statement-{merchant.receiver}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=headers, content_type="text/csv; charset=utf-8")


def _read_moment(text: str | None, whole_day: time) -> datetime | None:
    """A date alone is the first or the last second of it. Raises ValueError."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    if len(text) <= len("2026-11-22"):
        moment = datetime.combine(moment, whole_day)
    return moment.astimezone(EAT) if moment.tzinfo else moment.replace(tzinfo=EAT)


def _movement_json(gateway: Gateway, movement: Movement) -> dict[str, Any]:
    reversal = gateway.ledger.undone_by(movement)
    return {**movement.to_json(), "reversed_by": reversal.receipt if reversal else None}


def _balance_json(gateway: Gateway, shortcode: str) -> dict[str, Any]:
    balance = gateway.ledger.balance_of(shortcode)
    return {
        "merchant": shortcode,
        "opening": print_shillings(balance.opening_cents),
        "paid_in": print_shillings(balance.in_cents),
        "withdrawn": print_shillings(balance.out_cents),
        "charges": print_shillings(balance.charge_cents),
        "utility": print_shillings(balance.utility_cents),
    }


def _registrations_json(gateway: Gateway) -> dict[str, Any]:
    return {
        "registrations": [one.to_json() for one in gateway.paybill.registrations.all()],
        "may_register_again": not gateway.config.register_once,
        "external_validation": gateway.config.external_validation,
    }


def _find_request(request_id: str) -> Service:
    service = this_gateway().services.find(request_id)
    if service is None:
        raise NotFound("There is no such request.")
    return service


def _find_payment(payment_id: str) -> Payment:
    payment = this_gateway().paybill.find_payment(payment_id)
    if payment is None:
        raise NotFound("There is no such payment.")
    return payment
