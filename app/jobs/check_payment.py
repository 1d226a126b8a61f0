"""Asking Safaricom what became of a prompt whose callback has not come."""

from datetime import timedelta

import structlog

from app.integrations.mpesa import explain
from app.jobs.query_slot import wait_for_slot
from app.jobs.work import Work
from app.models import Payment, PaymentState
from app.ports import PushStatus, Verdict
from app.services.confirm_payment import confirm_payment
from app.services.due_payments import (
    CheckSchedule,
    claim_due_payments,
    claim_payment,
    end_check,
    note_no_verdict,
    postpone_check,
)
from app.services.fail_payment import fail_payment
from app.services.payment_evidence import Failure, Proof, Settlement
from app.services.settle_payment import settle_payment

log = structlog.get_logger()
LEASE_SECONDS = 60.0
BATCH = 25


def schedule_of(work: Work) -> CheckSchedule:
    config = work.config
    return CheckSchedule(
        check_seconds=config.mpesa_query_schedule_seconds,
        unknown_after_seconds=config.mpesa_unknown_after_seconds,
        no_answer_after_seconds=config.mpesa_no_answer_after_seconds,
        give_up_after_seconds=config.mpesa_give_up_after_seconds,
    )


def check_payment(work: Work, payment_id: int) -> None:
    """Query one payment if its check is due and no other worker is at it."""
    with work.database.transaction() as session:
        claimed = claim_payment(session, payment_id, work.now(), LEASE_SECONDS)
    if claimed:
        _check_claimed(work, payment_id)


def check_due_payments(work: Work) -> bool:
    """Query a batch of the payments whose check is due; True where more may be."""
    with work.database.transaction() as session:
        claimed = claim_due_payments(session, work.now(), limit=BATCH, lease_seconds=LEASE_SECONDS)
    for payment_id in claimed:
        _check_claimed(work, payment_id)
    return len(claimed) == BATCH


def _check_claimed(work: Work, payment_id: int) -> None:
    with work.database.reading() as session:
        payment = session.get_one(Payment, payment_id)
    if payment.checkout_request_id is None:
        _note(work, payment_id, "Safaricom never answered the push; there is no id to ask with")
        return
    if not wait_for_slot(work, Payment, payment_id):
        return
    status = work.ports.gateway.query(payment.checkout_request_id)
    if payment.status == PaymentState.SUCCEEDED:
        _confirm(work, payment_id, status)
    else:
        _apply(work, payment_id, status)


def _apply(work: Work, payment_id: int, status: PushStatus) -> None:
    code, desc = status.result_code or "", status.result_desc or ""
    if status.verdict is Verdict.NONE:
        _note(work, payment_id, f"{code} {desc}".strip() or "no verdict")
        return
    with work.database.transaction() as session:
        if status.verdict is Verdict.PAID:
            proof = Proof(source="query", result_code=code, result_desc=desc[:300])
            outcome = settle_payment(session, payment_id, proof, work.now())
            postpone_check(session, payment_id, None)
        else:
            look_again = look_again_after(work)
            failure = failure_of(code, desc, source="query", look_again_after=look_again)
            outcome = fail_payment(session, payment_id, failure, work.now())
            end_check(session, payment_id, work.now())
        if outcome is Settlement.ALREADY_FINAL:  # a callback may have settled it while we asked
            confirm_payment(session, payment_id, status, work.now())
    log.info("payment_queried", payment_id=payment_id, verdict=status.verdict, outcome=outcome)


def _confirm(work: Work, payment_id: int, status: PushStatus) -> None:
    """The callback was believed at once; hold it against Safaricom's own books now."""
    with work.database.transaction() as session:
        confirm_payment(session, payment_id, status, work.now())
    log.info("payment_confirmed", payment_id=payment_id, verdict=status.verdict)


def look_again_after(work: Work) -> timedelta:
    """When M-Pesa is asked once more about a prompt whose time ran out: no phone shows it then."""
    return timedelta(seconds=work.config.mpesa_unknown_after_seconds)


def failure_of(
    code: str, desc: str, *, source: str, look_again_after: timedelta | None = None
) -> Failure:
    """What a result code other than 0 means for the payment and for the payer."""
    meaning = explain(code)
    return Failure(
        source=source,
        status=PaymentState(meaning.status.value),
        result_code=code,
        result_desc=(desc or meaning.meaning)[:300],
        customer_message=meaning.customer_message,
        alert=meaning.alert,
        look_again_after=look_again_after if meaning.may_turn else None,
    )


def _note(work: Work, payment_id: int, reason: str) -> None:
    now = work.now()
    with work.database.transaction() as session:
        next_check = note_no_verdict(session, payment_id, reason, schedule_of(work), now)
    log.info("payment_has_no_verdict", payment_id=payment_id, reason=reason)
    if next_check is not None:
        delay = (next_check - now).total_seconds()
        work.ports.doorbell.ring("check_payment", payment_id, delay_seconds=delay)
