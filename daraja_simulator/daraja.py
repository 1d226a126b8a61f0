"""The endpoints a merchant calls: token, push, query."""

import base64
import binascii

from flask import Blueprint, Response, request

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.calls import (
    answer_json,
    check_caller,
    read_body,
    spoil_answer,
    this_gateway,
)
from daraja_simulator.gateway import Gateway
from daraja_simulator.outcomes import NO_VERDICT_SECONDS, NOT_YET_SECONDS, Answer, QueryFault
from daraja_simulator.prompts import Prompt
from daraja_simulator.push_request import read_push, read_query
from daraja_simulator.wire import Refused

daraja = Blueprint("daraja", __name__)

_ACCEPTED = "Success. Request accepted for processing"
_QUERY_ACCEPTED = "The service request has been accepted successsfully"  # three s, as it comes
_PENDING = ("4999", "The transaction is still under processing")
_FLAKY_CHANCE = 0.2


@daraja.get("/oauth/v1/generate", provide_automatic_options=False)
def generate_token() -> Response:
    gateway = this_gateway()
    config = gateway.config
    key = _consumer_key(gateway)
    if request.args.get("grant_type") != "client_credentials":
        raise Refused(wire.BAD_GRANT)
    chance = gateway.script.faults.token_unavailable
    if chance and gateway.dice.named("token", gateway.core.make_request_id()).random() < chance:
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
    """The order of checks: rate, token, product, JSON, fields, merchant, password, phone."""
    gateway = this_gateway()
    check_caller(gateway, Api.EXPRESS)
    push = read_push(read_body(), gateway.config, gateway.clock.now())
    merchant = gateway.identify(push.credentials)
    prompt = gateway.express.take_push(push, merchant)
    if prompt.plan.answer is Answer.AFTER_CALLBACK:
        gateway.express.end_before_answering(prompt)
    spoil_answer(gateway, prompt.plan.answer)
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
    check_caller(gateway, Api.EXPRESS)
    query = read_query(read_body(), gateway.config, gateway.clock.now())
    merchant = gateway.identify(query.credentials)
    prompt = gateway.express.book.find(query.checkout_request_id)
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
        gateway.express.tell_after_query(prompt)
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
            if gateway.clock.seconds_since(prompt.created_at) < NOT_YET_SECONDS:
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
    return gateway.clock.seconds_since(prompt.ended_at)
