"""Reading a kept message and acting on it: one transaction, so that both happen or neither."""

from collections.abc import Mapping
from datetime import timedelta

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.integrations.mpesa import StkCallback, UnreadableMessage, read_stk_callback
from app.jobs.check_payment import check_payment, failure_of, look_again_after
from app.jobs.work import Work
from app.models import InboxMessage, InboxSource
from app.services.apply_callback import (
    CallbackClaim,
    apply_callback,
    report_unreadable,
    weigh_unsigned_claim,
)
from app.services.inbox import (
    claim_message,
    find_waiting_messages,
    finish_message,
    note_unstuck,
    report_stuck_message,
)
from app.utils.failpoints import failpoint

log = structlog.get_logger()
SHORTCODE_HEADER = "businessshortcode"


def process_message(work: Work, message_id: int) -> None:
    """Act on one message of the inbox. Whoever comes second finds nothing to do."""
    try:
        to_query = _process(work, message_id)
    except (OperationalError, InterfaceError, PoolTimeout):
        raise  # the database stutters: the sweep comes back to the message
    except Exception as error:
        log.exception("message_stuck", message_id=message_id)
        with work.database.transaction() as session:
            report_stuck_message(session, message_id, repr(error)[:500], work.now())
        return
    if to_query is not None:
        check_payment(work, to_query)


def process_waiting_messages(work: Work) -> None:
    """Act on every message that the request which brought it did not finish.

    One that cannot be processed now keeps no other waiting.
    """
    with work.database.reading() as session:
        waiting = find_waiting_messages(session, work.now())
    for message_id in waiting:
        try:
            process_message(work, message_id)
        except (OperationalError, InterfaceError, PoolTimeout):
            log.exception("message_left_for_later", message_id=message_id)


def _process(work: Work, message_id: int) -> int | None:
    """Answers the id of a payment that is to be queried now."""
    with work.database.transaction() as session:
        message = claim_message(session, message_id)
        if message is None:
            return None
        outcome, to_query = _act(session, work, message)
        failpoint("in_settlement")
        finish_message(message, outcome, work.now())
        note_unstuck(session, message, work.now())
    log.info("message_processed", message_id=message_id, source=message.source, outcome=outcome)
    return to_query


def _act(session: Session, work: Work, message: InboxMessage) -> tuple[str, int | None]:
    now = work.now()
    try:
        callback = read_stk_callback(message.body)
    except UnreadableMessage as error:
        return report_unreadable(session, message, error.reason, now), message.payment_id
    if message.source == InboxSource.UNSIGNED_CALLBACK or message.payment_id is None:
        payment_id = weigh_unsigned_claim(session, callback.checkout_request_id, now)
        return ("unmatched" if payment_id is None else "queried"), payment_id
    claim = _claim_of(
        callback,
        shortcode_fits=_shortcode_fits(work, message.headers),
        look_again=look_again_after(work),
    )
    outcome = apply_callback(session, message.payment_id, claim, now)
    needs_query = outcome in {"mismatched", "incomplete"}
    return outcome, message.payment_id if needs_query else None


def _claim_of(
    callback: StkCallback, *, shortcode_fits: bool, look_again: timedelta
) -> CallbackClaim:
    code, desc = callback.result_code, callback.result_desc
    return CallbackClaim(
        merchant_request_id=callback.merchant_request_id,
        checkout_request_id=callback.checkout_request_id,
        result_code=callback.result_code,
        result_desc=callback.result_desc[:300],
        amount_cents=callback.amount_cents,
        receipt=callback.receipt,
        failure=None
        if callback.claims_success
        else failure_of(code, desc, source="callback", look_again_after=look_again),
        shortcode_fits=shortcode_fits,
    )


def _shortcode_fits(work: Work, headers: Mapping[str, str]) -> bool:
    """Safaricom names the shortcode in a header. It may be forged, so it only ever speaks against
    a message; the header is missing on some roads, and that proves nothing.
    """
    named = headers.get(SHORTCODE_HEADER)
    return named is None or named in {work.config.mpesa_shortcode, work.config.mpesa_till}
