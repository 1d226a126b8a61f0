"""The endpoints of service requests: payouts, reversals, inquiries, transfers."""

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from daraja_simulator.apis import Api
from daraja_simulator.calls import (
    answer_json,
    check_caller,
    cut_connection,
    read_body,
    spoil_answer,
    this_gateway,
)
from daraja_simulator.outcomes import Answer
from daraja_simulator.service_desk import NeverHeard
from daraja_simulator.service_request import (
    Ask,
    read_balance,
    read_payout,
    read_reversal,
    read_status,
    read_transfer,
)

services = Blueprint("services", __name__, url_prefix="/mpesa")

_PAYOUT_VERSIONS = ("v1", "v3")


@services.post("/b2c/<version>/paymentrequest", provide_automatic_options=False)
def pay_out(version: str) -> Response:
    if version not in _PAYOUT_VERSIONS:
        raise NotFound
    check_caller(this_gateway(), Api.B2C)
    return _take(read_payout(read_body(), this_gateway().config, version))


@services.post("/reversal/v1/request", provide_automatic_options=False)
def reverse() -> Response:
    check_caller(this_gateway(), Api.REVERSAL)
    return _take(read_reversal(read_body(), this_gateway().config))


@services.post("/transactionstatus/v1/query", provide_automatic_options=False)
def query_status() -> Response:
    check_caller(this_gateway(), Api.STATUS)
    return _take(read_status(read_body(), this_gateway().config))


@services.post("/accountbalance/v1/query", provide_automatic_options=False)
def query_balance() -> Response:
    check_caller(this_gateway(), Api.BALANCE)
    return _take(read_balance(read_body(), this_gateway().config))


@services.post("/b2b/v1/paymentrequest", provide_automatic_options=False)
def pay_business() -> Response:
    check_caller(this_gateway(), Api.B2B)
    return _take(read_transfer(read_body(), this_gateway().config))


@services.post("/b2b/v1/remittax", provide_automatic_options=False)
def remit_tax() -> Response:
    check_caller(this_gateway(), Api.B2B)
    return _take(read_transfer(read_body(), this_gateway().config, is_tax=True))


def _take(ask: Ask) -> Response:
    """The order of checks: rate, token, product, JSON, fields, the caller's own id."""
    gateway = this_gateway()
    try:
        service = gateway.services.take(ask)
    except NeverHeard:
        cut_connection()
        return answer_json({})
    if service.plan.answer is Answer.AFTER_CALLBACK:
        gateway.services.end_before_answering(service)
    spoil_answer(gateway, service.plan.answer)
    return answer_json(
        {
            "OriginatorConversationID": service.originator_id,
            "ConversationID": service.conversation_id,
            "ResponseCode": "0",
            "ResponseDescription": "Accept the service request successfully.",
        }
    )
