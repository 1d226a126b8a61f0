"""What all endpoints of the API do with a request: who calls, with what, and how it is answered."""

import json
import socket
from typing import Any

from flask import Response, current_app, g, request

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.gateway import Gateway
from daraja_simulator.outcomes import SILENCE_SECONDS, Answer
from daraja_simulator.wire import JSON_TYPE, Refusal, Refused, print_json


def this_gateway() -> Gateway:
    gateway: Gateway = current_app.extensions["gateway"]
    return gateway


def answer_json(value: object, status: int = 200) -> Response:
    return Response(print_json(value), status, content_type=JSON_TYPE)


def check_caller(gateway: Gateway, api: Api, version: str | None = None) -> None:
    """Raises Refused when calls come too fast, without a living token, or without the product."""
    gateway.check_rate()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not gateway.tokens.is_valid(token.strip()):
        raise Refused(_token_refusal(api, token.strip()))
    gateway.check_product(api, version)


def _token_refusal(api: Api, token: str) -> Refusal:
    """Each product has its own words for a token that is not taken."""
    if api in {Api.B2C, Api.B2B, Api.BALANCE}:
        return wire.echo_token(token)
    if api in {Api.C2B, Api.STATUS}:
        return wire.INVALID_TOKEN_400
    return wire.PULL_WITHOUT_PRODUCT if api is Api.PULL else wire.INVALID_TOKEN


def read_body() -> dict[str, Any]:
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


def spoil_answer(gateway: Gateway, answer: Answer) -> None:
    """What becomes of the answer to something that was accepted. May raise Refused."""
    match answer:
        case Answer.SILENT:
            gateway.clock.sleep(SILENCE_SECONDS, lambda: gateway.timetable.stopped)
        case Answer.CUT:
            cut_connection()
        case Answer.HTML_502:
            raise Refused(wire.BAD_GATEWAY)
        case Answer.INTERNAL_ERROR:
            raise Refused(wire.INTERNAL_ERROR)
        case _:
            pass


def cut_connection() -> None:
    """Hang up without a byte of answer; what is written afterwards meets a closed pipe."""
    connection: socket.socket | None = request.environ.get("werkzeug.socket")
    if connection is None:
        raise RuntimeError("A connection can be cut only under SimulatorServer.")
    connection.shutdown(socket.SHUT_RDWR)
    g.came_of_it = " never sent: connection cut"
