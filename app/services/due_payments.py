"""Which payments the reconciler looks at, when, and how many a second."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, update
from sqlalchemy.orm import Session

from app.models import LIVE_STATES, Payment, PaymentState, TaskKind
from app.services.leases import claim_due, claim_one, give_back
from app.services.paces import lock_pace
from app.services.payment_evidence import lock_payment
from app.services.records import Matter, file_task, record_payment_event, tell_unpaid
from app.utils.money import cents_to_wire
from app.utils.phone import mask_msisdn

QUERY_PACE = "mpesa_query"
_JITTER = 0.1
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class CheckSchedule:
    """When to ask what became of a prompt, or of a refund, in seconds after it was asked for.

    After the last entry of ``check_seconds`` it is asked at twice its age each time, at least
    hourly, and once more when the time is up. A prompt is called unknown, not
    failed, after ``unknown_after_seconds``; one whose answer never came, so that it cannot even be
    asked about, is let go after ``no_answer_after_seconds``; everything is handed to a person
    after ``give_up_after_seconds``.
    """

    check_seconds: Sequence[float]
    unknown_after_seconds: float
    no_answer_after_seconds: float
    give_up_after_seconds: float

    def next_check(self, asked_at: datetime, now: datetime) -> datetime:
        """The first moment of the schedule that lies ahead, a little jittered."""
        age = (now - asked_at).total_seconds()
        ahead = [seconds for seconds in self.check_seconds if seconds > age]
        wait = min(ahead) - age if ahead else min(_HOUR_SECONDS, max(age, 1.0))
        jittered = now + timedelta(seconds=wait * (1 + random.uniform(0, _JITTER)))
        return min(jittered, asked_at + timedelta(seconds=self.give_up_after_seconds))


def claim_due_payments(
    session: Session, now: datetime, *, limit: int, lease_seconds: float
) -> list[int]:
    """Take payments whose check is due, each for one worker; a dead worker's come back.

    First those of which nobody knows yet what became of them: somebody waits. That Safaricom's
    books say the same of the others may be asked when there is time.
    """
    is_open = Payment.status.in_(LIVE_STATES)
    return claim_due(session, Payment, now, limit=limit, lease_seconds=lease_seconds, first=is_open)


def claim_payment(session: Session, payment_id: int, now: datetime, lease_seconds: float) -> bool:
    """Take one payment if its check is due and nobody else has it."""
    return claim_one(session, Payment, payment_id, now, lease_seconds)


def reserve_query_slot(
    session: Session, now: datetime, per_second: float, longest_wait: timedelta
) -> tuple[datetime, bool]:
    """The next moment at which all workers together may query, and whether it is the caller's.

    A moment further off than ``longest_wait`` is left free: come back then.
    """
    interval = timedelta(seconds=1 / per_second)
    pace = lock_pace(session, QUERY_PACE, now)
    slot = max(pace.next_at, now)
    is_ours = slot - now <= longest_wait
    if is_ours:
        pace.next_at = slot + interval
        session.flush()
    return slot, is_ours


def postpone_check(session: Session, payment_id: int, until: datetime | None) -> None:
    """Give a claimed payment back, to be looked at later, or no more."""
    give_back(session, Payment, payment_id, until)


def end_check(session: Session, payment_id: int, now: datetime) -> None:
    """Give a claimed payment back; a look that was planned meanwhile stays planned."""
    session.execute(
        update(Payment)
        .where(Payment.id == payment_id)
        .values(
            leased_until=None,
            next_check_at=case((Payment.next_check_at > now, Payment.next_check_at)),
        )
        .execution_options(synchronize_session=False)
    )


def note_no_verdict(
    session: Session, payment_id: int, reason: str, schedule: CheckSchedule, now: datetime
) -> datetime | None:
    """Nothing is known yet: plan the next look, or hand the payment to a person.

    Answers when it is looked at next; None where nobody will by itself.
    """
    order, payment = lock_payment(session, payment_id)
    payment.leased_until = None
    if payment.status == PaymentState.SUCCEEDED:
        return None  # while we asked, a callback settled it; its confirmation stays due
    if payment.review_reason is None and payment.status == PaymentState.FAILED:
        return _plan_second_look(payment, schedule, now)
    if payment.review_reason is not None or payment.status not in LIVE_STATES:
        payment.next_check_at = None
        return None
    payment.check_count += 1
    age_seconds = (now - payment.created_at).total_seconds()
    if payment.checkout_request_id is None and age_seconds >= schedule.no_answer_after_seconds:
        _let_go(session, payment, now)
        tell_unpaid(session, order, payment.customer_message or "", now)
        return None
    if age_seconds >= schedule.give_up_after_seconds:
        _hand_over(session, payment, reason, now)
        return None
    if payment.status != PaymentState.UNKNOWN and (
        age_seconds >= schedule.unknown_after_seconds or payment.status == PaymentState.CREATED
    ):
        _move(session, payment, PaymentState.UNKNOWN, reason, now)
        payment.customer_message = (
            "M-Pesa has not told us yet whether this was paid. Do not pay again; we keep asking."
        )
    payment.next_check_at = schedule.next_check(payment.created_at, now)
    payment.updated_at = now
    session.flush()
    return payment.next_check_at


def _plan_second_look(payment: Payment, schedule: CheckSchedule, now: datetime) -> datetime | None:
    """For a payment that failed because time ran out: ask on until there is a verdict."""
    if payment.next_check_at is None or payment.next_check_at > now:
        return payment.next_check_at
    payment.check_count += 1
    is_over = (now - payment.created_at).total_seconds() >= schedule.give_up_after_seconds
    payment.next_check_at = None if is_over else schedule.next_check(payment.created_at, now)
    return payment.next_check_at


def _let_go(session: Session, payment: Payment, now: datetime) -> None:
    """Whether the push arrived was never known, no callback came, and no phone rings any more.

    The buyer may try again. Money that shows up later still wins; a person is told to look for it.
    """
    _move(session, payment, PaymentState.FAILED, "no answer and no callback", now)
    payment.result_desc = "M-Pesa never confirmed that it received the request."
    payment.customer_message = (
        "M-Pesa never confirmed this payment, and you can try again. If you were charged, keep"
        " the M-Pesa message and tell the shop: we will find it."
    )
    payment.next_check_at = None
    payment.finished_at = now
    file_task(
        session,
        Matter(
            kind=TaskKind.UNKNOWN_PAYMENT,
            title=f"Look on the statement for payment {payment.id}",
            description=f"KES {cents_to_wire(payment.amount_cents)} was asked of"
            f" {mask_msisdn(payment.msisdn)} at {payment.created_at:%Y-%m-%d %H:%M} UTC and M-Pesa"
            " never answered. Should the statement show the money, it belongs to this order.",
            dedupe_key=f"no_answer:{payment.id}",
        ),
        now,
        payment=payment,
    )
    session.flush()


def _hand_over(session: Session, payment: Payment, reason: str, now: datetime) -> None:
    """Nobody could say for a whole day: a person decides, and the order stays as it is."""
    if payment.status != PaymentState.UNKNOWN:
        _move(session, payment, PaymentState.UNKNOWN, reason, now)
    payment.next_check_at = None
    payment.updated_at = now
    file_task(
        session,
        Matter(
            kind=TaskKind.UNKNOWN_PAYMENT,
            title=f"Nobody knows what became of payment {payment.id}",
            description=f"KES {cents_to_wire(payment.amount_cents)} was asked of"
            f" {mask_msisdn(payment.msisdn)} at {payment.created_at:%Y-%m-%d %H:%M} UTC as"
            f" {payment.checkout_request_id}. M-Pesa was asked {payment.check_count} times without"
            f" a verdict; the last answer was: {reason}. Look on the M-Pesa statement.",
            dedupe_key=f"unknown_payment:{payment.id}",
        ),
        now,
        payment=payment,
    )
    session.flush()


def _move(session: Session, payment: Payment, to: PaymentState, reason: str, now: datetime) -> None:
    before = payment.status
    payment.status = to
    payment.updated_at = now
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=to,
        source="reconciler",
        now=now,
        detail=reason,
    )
