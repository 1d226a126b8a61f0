"""The C2B endpoints: registerurl and simulate, each under v1 and v2."""

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from daraja_simulator.apis import Api
from daraja_simulator.c2b_request import read_register, read_simulate
from daraja_simulator.calls import answer_json, check_caller, read_body, this_gateway

c2b = Blueprint("c2b", __name__, url_prefix="/mpesa/c2b")

_VERSIONS = ("v1", "v2")


@c2b.post("/<version>/registerurl", provide_automatic_options=False)
def register_urls(version: str) -> Response:
    """A second registration overwrites the first, unless the app may register but once."""
    gateway = this_gateway()
    _check(version)
    request = read_register(read_body(), gateway.config)
    gateway.paybill.registrations.register(request, version)
    return _acknowledge("Success")


@c2b.post("/<version>/simulate", provide_automatic_options=False)
def simulate_payment(version: str) -> Response:
    """Have a customer pay by the menu of the phone; what comes of it is told by notices."""
    gateway = this_gateway()
    _check(version)
    gateway.paybill.start_payment(read_simulate(read_body(), gateway.config))
    return _acknowledge("Accept the service request successfully.")


def _check(version: str) -> None:
    if version not in _VERSIONS:
        raise NotFound
    check_caller(this_gateway(), Api.C2B, version)


def _acknowledge(text: str) -> Response:
    return answer_json(
        {
            "OriginatorCoversationID": this_gateway().core.make_request_id(),  # their spelling
            "ResponseCode": "0",
            "ResponseDescription": text,
        }
    )
