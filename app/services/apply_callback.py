"""What a callback does, as far as it can be believed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import InboxMessage, InboxSource, Payment, PaymentState, TaskKind
from app.services.confirm_payment import CONFIRM_AFTER
from app.services.fail_payment import fail_payment
from app.services.hold_for_review import hold_for_review
from app.services.payment_evidence import Failure, Proof, Settlement, lock_payment
from app.services.records import Matter, file_task, record_payment_event
from app.services.settle_payment import settle_locked
from app.utils.money import cents_to_wire


@dataclass(frozen=True, slots=True)
class CallbackClaim:
    """What a callback says happened to a prompt. ``failure`` is None where it claims money."""

    merchant_request_id: str
    checkout_request_id: str
    result_code: str
    result_desc: str
    amount_cents: int | None
    receipt: str | None
    failure: Failure | None
    shortcode_fits: bool = True


def apply_callback(session: Session, payment_id: int, claim: CallbackClaim, now: datetime) -> str:
    """Act on a callback whose sender knew the payment's secret; answers what became of it.

    What differs from the row is kept, told to a person, and moves no order. A missing amount or
    receipt proves nothing, so the status query decides; another amount is a contradiction that
    only a person resolves.
    """
    order, payment = lock_payment(session, payment_id)
    if mismatch := _find_mismatch(payment, claim):
        _report_mismatch(session, payment, TaskKind.MISMATCHED_CALLBACK, mismatch, now)
        _look_soon(session, payment, now)
        return "mismatched"
    _fill_ids(payment, claim, now)
    if claim.failure is not None:
        return fail_payment(session, payment_id, claim.failure, now)
    if claim.amount_cents is None or claim.receipt is None:
        missing = "amount" if claim.amount_cents is None else "receipt"
        _report_mismatch(
            session,
            payment,
            TaskKind.MISMATCHED_CALLBACK,
            f"The callback says paid, but its {missing} is missing or unreadable.",
            now,
        )
        _look_soon(session, payment, now)
        return "incomplete"
    if not _amount_fits(payment, claim):
        return _report_amount(session, payment, claim, now)
    proof = Proof(
        source="callback",
        result_code=claim.result_code,
        result_desc=claim.result_desc,
        receipt=claim.receipt,
        amount_verified=True,
    )
    outcome = settle_locked(session, order, payment, proof, now)
    if outcome is Settlement.SETTLED:
        payment.next_check_at = now + CONFIRM_AFTER
        payment.check_count = 0  # the checks from here on are the confirmation's
        session.flush()
    return outcome


def weigh_unsigned_claim(session: Session, checkout_request_id: str, now: datetime) -> int | None:
    """A callback without our secret proves nothing: have the payment that it names queried now.

    Answers the payment's id, or None where no payment of ours has that id or money came already.
    """
    payment = session.scalar(
        select(Payment).where(Payment.checkout_request_id == checkout_request_id).with_for_update()
    )
    if payment is None or payment.status in (PaymentState.SUCCEEDED, PaymentState.REFUNDED):
        return None
    _look_soon(session, payment, now)
    return payment.id


def report_unreadable(session: Session, message: InboxMessage, reason: str, now: datetime) -> str:
    """A body that no reader understands: kept, and for a person where the sender knew a secret."""
    if message.source == InboxSource.STK_CALLBACK and message.payment_id is not None:
        _, payment = lock_payment(session, message.payment_id)
        _report_mismatch(
            session,
            payment,
            TaskKind.UNREADABLE_CALLBACK,
            f"The callback could not be read: {reason}. It is kept as inbox message {message.id}.",
            now,
        )
        _look_soon(session, payment, now)
    return "unreadable"


def _look_soon(session: Session, payment: Payment, now: datetime) -> None:
    if (
        payment.checkout_request_id is not None
        and payment.review_reason is None
        and payment.status not in (PaymentState.SUCCEEDED, PaymentState.REFUNDED)
    ):
        payment.next_check_at = now
        session.flush()


def _find_mismatch(payment: Payment, claim: CallbackClaim) -> str | None:
    for name, ours, theirs in (
        ("CheckoutRequestID", payment.checkout_request_id, claim.checkout_request_id),
        ("MerchantRequestID", payment.merchant_request_id, claim.merchant_request_id),
    ):
        if ours is not None and ours != theirs:
            return f"The callback names {name} {theirs}, but the prompt was {ours}."
    if not claim.shortcode_fits:
        return "The callback was sent for another shortcode than ours."
    return None


def _amount_fits(payment: Payment, claim: CallbackClaim) -> bool:
    return claim.amount_cents == payment.amount_cents


def _fill_ids(payment: Payment, claim: CallbackClaim, now: datetime) -> None:
    """The answer to the push was lost, or is slower than this callback: take the ids from here."""
    if payment.checkout_request_id is None:
        payment.checkout_request_id = claim.checkout_request_id
        payment.merchant_request_id = claim.merchant_request_id
        payment.updated_at = now


def _report_amount(session: Session, payment: Payment, claim: CallbackClaim, now: datetime) -> str:
    reported = cents_to_wire(claim.amount_cents or 0)
    asked = cents_to_wire(payment.amount_cents)
    matter = Matter(
        kind=TaskKind.WRONG_AMOUNT,
        title=f"M-Pesa reported KES {reported} where KES {asked} was asked for",
        description=f"Payment {payment.id}, receipt {claim.receipt}. Nothing was booked and the"
        " order is unchanged. Look the receipt up on the M-Pesa statement.",
        dedupe_key=f"wrong_amount:{payment.id}:{claim.receipt}",
    )
    if payment.status in (PaymentState.SUCCEEDED, PaymentState.REFUNDED):
        file_task(session, matter, now, payment=payment, receipt=claim.receipt)
    else:
        hold_for_review(session, payment, "wrong_amount", matter, now, receipt=claim.receipt)
    return "held_for_review"


def _report_mismatch(
    session: Session, payment: Payment, kind: TaskKind, sentence: str, now: datetime
) -> None:
    matter = Matter(
        kind=kind,
        title=f"A callback does not fit payment {payment.id}",
        description=f"{sentence} It moved nothing; the status query decides.",
        dedupe_key=f"{kind}:{payment.id}",
    )
    if file_task(session, matter, now, payment=payment):
        record_payment_event(
            session,
            payment.id,
            from_status=payment.status,
            to_status=payment.status,
            source="callback",
            now=now,
            detail=sentence,
        )
        session.flush()
