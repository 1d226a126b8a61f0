"""Reading what Safaricom says of a prompt."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from app.integrations.mpesa import StkCallback, UnreadableMessage, read_stk_callback
from app.jobs.check_payment import check_payment, failure_of, look_again_after
from app.jobs.heard import Heard
from app.jobs.work import Work
from app.models import InboxMessage, InboxSource
from app.services.apply_callback import (
    CallbackClaim,
    apply_callback,
    report_unreadable,
    weigh_unsigned_claim,
)

SHORTCODE_HEADER = "businessshortcode"


def hear_callback(session: Session, work: Work, message: InboxMessage) -> Heard:
    """Act on it as far as it can be believed; where it cannot, the status query decides."""
    now = work.now()
    try:
        callback = read_stk_callback(message.body)
    except UnreadableMessage as error:
        outcome = report_unreadable(session, message, error.reason, now)
        return _queried(outcome, message.payment_id)
    if message.source == InboxSource.UNSIGNED_CALLBACK or message.payment_id is None:
        payment_id = weigh_unsigned_claim(session, callback.checkout_request_id, now)
        return _queried("unmatched" if payment_id is None else "queried", payment_id)
    claim = _claim_of(
        callback,
        shortcode_fits=_shortcode_fits(work, message.headers),
        look_again=look_again_after(work),
    )
    outcome = apply_callback(session, message.payment_id, claim, now)
    needs_query = outcome in {"mismatched", "incomplete"}
    return _queried(outcome, message.payment_id if needs_query else None)


def _queried(outcome: str, payment_id: int | None) -> Heard:
    if payment_id is None:
        return Heard(outcome)
    return Heard(outcome, partial(check_payment, payment_id=payment_id))


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
