"""The endpoints a merchant calls: token, push, query."""

import base64
import binascii
import json
import socket
from typing import Any

from flask import Blueprint, Response, current_app, g, request

from daraja_simulator import wire
from daraja_simulator.gateway import Gateway
from daraja_simulator.outcomes import (
    NO_VERDICT_SECONDS,
    NOT_YET_SECONDS,
    SILENCE_SECONDS,
    Answer,
    QueryFault,
)
from daraja_simulator.prompts import Prompt
from daraja_simulator.push_request import read_push, read_query
from daraja_simulator.wire import JSON_TYPE, Refused, print_json

daraja = Blueprint("daraja", __name__)

_ACCEPTED = "Success. Request accepted for processing"
_QUERY_ACCEPTED = "The service request has been accepted successsfully"  # three s, as it comes
_PENDING = ("4999", "The transaction is still under processing")
_FLAKY_CHANCE = 0.2


def this_gateway() -> Gateway:
    gateway: Gateway = current_app.extensions["gateway"]
    return gateway


def answer_json(value: object, status: int = 200) -> Response:
    return Response(print_json(value), status, content_type=JSON_TYPE)


@daraja.get("/oauth/v1/generate", provide_automatic_options=False)
def generate_token() -> Response:
    gateway = this_gateway()
    config = gateway.config
    key = _consumer_key(gateway)
    if request.args.get("grant_type") != "client_credentials":
        raise Refused(wire.BAD_GRANT)
    chance = gateway.script.faults.token_unavailable
    if chance and gateway.dice.named("token", gateway.make_request_id()).random() < chance:
        raise Refused(wire.UNAVAILABLE)
    seconds = config.token_seconds
    return answer_json(
        {
            "access_token": gateway.tokens.issue(key),
            "expires_in": seconds if config.expires_in_as_number else str(seconds),
        }
    )


def _consumer_key(gateway: Gateway) -> str:
    """The key of whoever asks. Raises Refused unless it and its secret are taken."""
    config = gateway.config
    refusal = wire.EMPTY_BAD_CREDENTIALS if config.empty_credentials_error else wire.BAD_CREDENTIALS
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        plain = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Refused(refusal) from error
    key, _, secret = plain.partition(":")
    is_known = config.consumer_key in {None, key} and config.consumer_secret in {None, secret}
    if scheme.lower() != "basic" or not key or not secret or not is_known:
        raise Refused(refusal)
    return key


@daraja.post("/mpesa/stkpush/v1/processrequest", provide_automatic_options=False)
def process_push() -> Response:
    """The order of checks: rate, token, JSON, fields, merchant, password, phone."""
    gateway = this_gateway()
    _check_caller(gateway)
    push = read_push(_read_body(), gateway.config)
    merchant = gateway.identify(push.credentials)
    prompt = gateway.take_push(push, merchant)
    match prompt.plan.answer:
        case Answer.AFTER_CALLBACK:
            gateway.end_before_answering(prompt)
        case Answer.SILENT:
            gateway.clock.sleep(SILENCE_SECONDS, lambda: gateway.timetable.stopped)
        case Answer.CUT:
            _cut_connection()
        case Answer.HTML_502:
            raise Refused(wire.BAD_GATEWAY)
        case Answer.INTERNAL_ERROR:
            raise Refused(wire.INTERNAL_ERROR)
        case Answer.ACCEPTED:
            pass
    return answer_json(
        {
            "MerchantRequestID": prompt.merchant_request_id,
            "CheckoutRequestID": prompt.checkout_request_id,
            "ResponseCode": "0",
            "ResponseDescription": _ACCEPTED,
            "CustomerMessage": _ACCEPTED,
        }
    )


@daraja.post("/mpesa/stkpushquery/v1/query", provide_automatic_options=False)
def process_query() -> Response:
    gateway = this_gateway()
    _check_caller(gateway)
    query = read_query(_read_body())
    merchant = gateway.identify(query.credentials)
    prompt = gateway.find_prompt(query.checkout_request_id)
    if prompt is None or prompt.merchant is not merchant:
        if gateway.config.unknown_query_as_400:
            raise Refused(wire.invalid_field("CheckoutRequestID"))
        raise Refused(wire.NO_TRANSACTION)
    return _answer_query(gateway, prompt)


def _answer_query(gateway: Gateway, prompt: Prompt) -> Response:
    """Tell what the query knows; its words for a result are not always the callback's."""
    with gateway.lock:
        result, fault = prompt.result, prompt.plan.query
        _spoil_query(gateway, prompt)
    is_hidden = fault is QueryFault.NO_VERDICT and _age(gateway, prompt) < NO_VERDICT_SECONDS
    if result is None or is_hidden:
        if fault is QueryFault.PENDING_AS_500 or gateway.config.pending_query_as_500:
            raise Refused(wire.BEING_PROCESSED, request_id=prompt.checkout_request_id)
        code, text = _PENDING
    else:
        code, text = result.code, result.query_text
        gateway.tell_after_query(prompt)
    return answer_json(
        {
            "ResponseCode": "0",
            "ResponseDescription": _QUERY_ACCEPTED,
            "MerchantRequestID": prompt.merchant_request_id,
            "CheckoutRequestID": prompt.checkout_request_id,
            "ResultCode": code,
            "ResultDesc": text,
        }
    )


def _spoil_query(gateway: Gateway, prompt: Prompt) -> None:
    """Raises Refused where the plan has the query fail."""
    match prompt.plan.query:
        case QueryFault.NEVER_EXISTS:
            raise Refused(wire.NO_TRANSACTION)
        case QueryFault.HTML:
            raise Refused(wire.BAD_GATEWAY)
        case QueryFault.NOT_YET:
            passed = (gateway.clock.now() - prompt.created_at).total_seconds()
            if passed < NOT_YET_SECONDS:
                raise Refused(wire.NO_TRANSACTION)
        case QueryFault.FLAKY:
            facts = (prompt.push.phone, prompt.how_manieth, next(prompt.query_numbers))
            dice = gateway.dice.named("query", *facts)
            if prompt.result is not None and dice.random() < _FLAKY_CHANCE:
                raise Refused(wire.NO_TRANSACTION)
        case _:
            pass


def _age(gateway: Gateway, prompt: Prompt) -> float:
    """Seconds since the prompt ended."""
    if prompt.ended_at is None:
        return 0.0
    return (gateway.clock.now() - prompt.ended_at).total_seconds()


def _check_caller(gateway: Gateway) -> None:
    """Raises Refused when calls come too fast, or without a living token."""
    gateway.check_rate()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not gateway.tokens.is_valid(token.strip()):
        raise Refused(wire.INVALID_TOKEN)


def _read_body() -> dict[str, Any]:
    """The JSON object that was sent.

    Another content type is not read at all, so the first field is found missing: that is why the
    real gateway complains of the BusinessShortCode when somebody posts a form.
    """
    if request.mimetype != JSON_TYPE:
        return {}
    try:
        payload = json.loads(request.get_data())
    except (ValueError, RecursionError) as error:
        raise Refused(wire.BAD_PAYLOAD) from error
    if not isinstance(payload, dict):
        raise Refused(wire.BAD_PAYLOAD)
    return payload


def _cut_connection() -> None:
    """Hang up without a byte of answer; what is written afterwards meets a closed pipe."""
    connection: socket.socket | None = request.environ.get("werkzeug.socket")
    if connection is None:
        raise RuntimeError("A connection can be cut only under SimulatorServer.")
    connection.shutdown(socket.SHUT_RDWR)
    g.came_of_it = " never sent: connection cut"
