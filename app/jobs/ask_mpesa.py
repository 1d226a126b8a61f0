"""Sending a request that is answered later: the network between two transactions."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from app.integrations.mpesa import MpesaMisconfigured
from app.jobs.work import Work
from app.models import RequestState
from app.ports import GatewayError, MerchantGateway, RequestAccepted
from app.services.mpesa_requests import (
    record_acknowledgement,
    record_request_refusal,
    record_request_silence,
)
from app.services.request_reports import report_refused_settings
from app.utils.callback_secret import CallbackSecret, callback_token

RESULT_PATH = "/api/pay/result/"
TIMEOUT_PATH = "/api/pay/timeout/"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the result of one request comes to, and the news that none will come."""

    result_url: str
    timeout_url: str


@dataclass(frozen=True, slots=True)
class Sending:
    """What became of the sending: acknowledged (SENT), surely REFUSED, or UNKNOWN."""

    state: RequestState
    message: str
    error: GatewayError | None = None


def send_request(
    work: Work,
    request_id: int,
    secret: CallbackSecret,
    ask: Callable[[MerchantGateway, Addresses], RequestAccepted],
    follow: Callable[[Session, Sending], None] = lambda _session, _sending: None,
) -> Sending:
    """Ask Safaricom, once, for what the request on record stands for, and write down the answer.

    ``ask`` makes the one call. ``follow`` moves what the request is about, in the transaction that
    moves the request; it locks that first. If the process dies on the way the row is there, and
    nothing is sent again for it.
    """
    try:
        accepted = ask(work.ports.merchant, _addresses_of(work, request_id, secret))
    except ValueError as error:  # the ask breaks a rule of the manual, so it was not sent
        refusal = GatewayError(f"Not sent: {error}", certain=True)
        return _record_error(work, request_id, refusal, follow)
    except GatewayError as error:
        return _record_error(work, request_id, error, follow)
    sending = Sending(RequestState.SENT, "acknowledged")
    with work.database.transaction() as session:
        follow(session, sending)
        record_acknowledgement(session, request_id, accepted, work.now())
    return sending


def _addresses_of(work: Work, request_id: int, secret: CallbackSecret) -> Addresses:
    token = callback_token(request_id, secret)
    public_url = work.config.public_url
    return Addresses(f"{public_url}{RESULT_PATH}{token}", f"{public_url}{TIMEOUT_PATH}{token}")


def _record_error(
    work: Work,
    request_id: int,
    error: GatewayError,
    follow: Callable[[Session, Sending], None],
) -> Sending:
    now = work.now()
    state = RequestState.REFUSED if error.certain else RequestState.UNKNOWN
    sending = Sending(state, error.message, error)
    with work.database.transaction() as session:
        follow(session, sending)
        if error.certain:
            record_request_refusal(session, request_id, error.code, error.message, now)
        else:
            record_request_silence(session, request_id, error.message, now)
        if isinstance(error, MpesaMisconfigured):
            report_refused_settings(session, error.code, error.message, now)
    log.info("request_not_acknowledged", request_id=request_id, certain=error.certain)
    return sending
