"""A prompt that ended without money. It may be called again, late or side by side."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    Payment,
    TaskKind,
)
from app.services.payment_evidence import Failure, Settlement, lock_payment
from app.services.records import Matter, file_task, record_payment_event, tell_unpaid


def fail_payment(session: Session, payment_id: int, failure: Failure, now: datetime) -> Settlement:
    """End an attempt that brought no money; one that is final already is left as it is."""
    order, payment = lock_payment(session, payment_id)
    if payment.status not in LIVE_STATES:
        return Settlement.ALREADY_FINAL
    if payment.review_reason is not None:
        return Settlement.HELD_FOR_REVIEW
    before = payment.status
    payment.status = failure.status
    payment.result_code = failure.result_code
    payment.result_desc = failure.result_desc
    payment.customer_message = failure.customer_message
    _close(payment, failure, now)
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=failure.status,
        source=failure.source,
        now=now,
        detail=f"{failure.result_code}: {failure.result_desc}",
    )
    tell_unpaid(session, order, failure.customer_message, now)
    if failure.alert:
        _alert_configuration(session, payment, failure, now)
    session.flush()
    return Settlement.FAILED


def _close(payment: Payment, failure: Failure, now: datetime) -> None:
    look_again = failure.look_again_after
    payment.next_check_at = None if look_again is None else now + look_again
    payment.leased_until = None
    payment.finished_at = now
    payment.updated_at = now


def _alert_configuration(
    session: Session, payment: Payment, failure: Failure, now: datetime
) -> None:
    file_task(
        session,
        Matter(
            kind=TaskKind.MPESA_CONFIGURATION,
            title=f"M-Pesa refuses our set-up with {failure.result_code}",
            description=f"{failure.result_desc} Customers cannot pay until it is mended: compare"
            " MPESA_SHORTCODE, MPESA_TILL and the kind of account with the portal.",
            dedupe_key=f"mpesa_configuration:{failure.result_code}:{now:%Y-%m-%d}",
        ),
        now,
        payment=payment,
    )
