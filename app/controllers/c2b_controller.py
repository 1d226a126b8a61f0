"""Payments that customers start in the M-Pesa menu: asked about before, and told of after."""

import hmac

import structlog
from flask import Response, jsonify, request

from app.context import current_config, current_work
from app.controllers.blueprint import Blueprint
from app.controllers.inbox import keep_and_answer
from app.errors import NotFound
from app.jobs.weigh_payment import weigh_in_time
from app.models import InboxSource
from app.schemas.payment import CallbackAnswerSchema, ValidationAnswerSchema
from app.schemas.problem import ProblemSchema
from app.security import public
from app.services.inbox import MAX_BODY_BYTES
from app.services.weigh_payment import Wish

c2b = Blueprint("c2b", __name__, description="M-Pesa: payments from the customer's own menu.")

log = structlog.get_logger()
CONFIRMED = {"ResultCode": 0, "ResultDesc": "Success"}
VALIDATION_CODES: dict[Wish, tuple[str, str]] = {
    Wish.WELCOME: ("0", "Accepted"),
    Wish.UNKNOWN_ACCOUNT: ("C2B00012", "Rejected"),
    Wish.TOO_MUCH: ("C2B00013", "Rejected"),
    Wish.FOREIGN_SHORTCODE: ("C2B00015", "Rejected"),
}
"""Safaricom's codes and words, Daraja's page on C2B."""


@c2b.post("/pay/c2b/confirm/<string:secret>")
@public
@c2b.response(200, CallbackAnswerSchema)
@c2b.alt_response(413, schema=ProblemSchema)
def confirm_payment(secret: str) -> Response:
    """Safaricom's notice that money came to the paybill or till, by whichever way."""
    _require_secret(secret)
    return keep_and_answer(InboxSource.C2B_CONFIRMATION, CONFIRMED)


@c2b.post("/pay/c2b/validate/<string:secret>")
@public
@c2b.response(200, ValidationAnswerSchema)
@c2b.alt_response(413, schema=ProblemSchema)
def validate_payment(secret: str) -> Response:
    """Safaricom asks, before the money moves, whether it is welcome.

    A wrong account number and more than is due are refused, which protects the payer. Whenever
    the shop cannot tell within a second, the money is welcome.
    """
    _require_secret(secret)
    wish = weigh_in_time(current_work(), request.get_data(cache=False)[: MAX_BODY_BYTES + 1])
    log.info("payment_weighed", wish=wish)
    code, desc = VALIDATION_CODES[wish]
    return jsonify({"ResultCode": code, "ResultDesc": desc})


def _require_secret(secret: str) -> None:
    """Raises NotFound, before anything else is looked at, unless Safaricom's address was called."""
    ours = current_config().mpesa_c2b_secret.encode()
    if not hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), ours):
        log.warning("c2b_with_wrong_secret", remote_addr=request.remote_addr)
        raise NotFound("There is nothing at this address.")
