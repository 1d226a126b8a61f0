"""M-Pesa's answers to requests that it only acknowledges at once: refunds, questions."""

import structlog
from flask import Response, request

from app.controllers.blueprint import Blueprint
from app.controllers.inbox import ACCEPTED, keep_and_answer
from app.db import reading
from app.errors import NotFound
from app.models import InboxSource
from app.schemas.payment import CallbackAnswerSchema
from app.schemas.problem import ProblemSchema
from app.security import public
from app.services.mpesa_requests import find_request_by_secret
from app.utils.callback_secret import split_callback_token

answers = Blueprint(
    "answers", __name__, description="Where M-Pesa answers what it was asked for. Not for clients."
)

log = structlog.get_logger()


@answers.post("/pay/result/<string:token>")
@public
@answers.response(200, CallbackAnswerSchema)
@answers.alt_response(413, schema=ProblemSchema)
def receive_result(token: str) -> Response:
    """Safaricom's result of one request, at the address that only Safaricom was given."""
    return keep_and_answer(InboxSource.API_RESULT, ACCEPTED, request_id=_request_of(token))


@answers.post("/pay/timeout/<string:token>")
@public
@answers.response(200, CallbackAnswerSchema)
@answers.alt_response(413, schema=ProblemSchema)
def receive_queue_timeout(token: str) -> Response:
    """Safaricom's news that its queue gave one request up: what became of it is unknown."""
    return keep_and_answer(InboxSource.QUEUE_TIMEOUT, ACCEPTED, request_id=_request_of(token))


def _request_of(token: str) -> int:
    """The id of the request whose secret the address carries. Raises NotFound for any other."""
    parts = split_callback_token(token)
    if parts is None:
        raise NotFound("There is nothing at this address.")
    with reading() as session:
        found = find_request_by_secret(session, *parts)
    if found is None:
        log.warning("answer_with_wrong_secret", remote_addr=request.remote_addr)
        raise NotFound("There is nothing at this address.")
    return found.id
