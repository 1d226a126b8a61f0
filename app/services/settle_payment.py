"""What evidence does to a payment and its order. Money wins; nothing is counted twice.

It may be called again, late, out of order or side by side: it locks the order first
and moves the payment by one conditional UPDATE.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.asking import take_over
from app.models import (
    LIVE_STATES,
    MpesaReceipt,
    Order,
    Payment,
    PaymentKind,
    PaymentState,
    Task,
    TaskKind,
)
from app.services.hold_for_review import DECIDED, REVIEW_TASKS, hold_for_review
from app.services.payment_evidence import CLOCKS_DIFFER, Proof, Settlement, lock_payment
from app.services.receipts import ReceiptFacts, Standing, judge_receipt, take_receipt
from app.services.records import Matter, file_task, record_payment_event, solve_tasks
from app.services.use_money import use_money
from app.services.webhooks.news import tell_of_receipt
from app.utils.phone import fits_msisdn

PAID_MESSAGE = "Paid. Thank you."


_MAY_SUCCEED = (*LIVE_STATES, PaymentState.FAILED, PaymentState.CANCELLED)


def settle_payment(session: Session, payment_id: int, proof: Proof, now: datetime) -> Settlement:
    """Count the money once and do what follows from it."""
    order, payment = lock_payment(session, payment_id)
    return settle_locked(session, order, payment, proof, now)


def settle_locked(
    session: Session, order: Order, payment: Payment, proof: Proof, now: datetime
) -> Settlement:
    """settle_payment for who has called lock_payment before, and changed neither but here."""
    standing = _standing_of(session, payment, proof)
    if standing is Standing.CONFLICT:
        return _report_conflict(session, payment, proof, now)
    if standing is Standing.TOLD_TWICE:
        return _note_told_twice(session, payment, proof, now)
    if payment.status not in _MAY_SUCCEED:
        if _add_receipt(session, payment, proof, now):
            tell_of_receipt(session, payment.id, now)
        return Settlement.ALREADY_SETTLED
    if _is_held(payment, proof):
        return Settlement.HELD_FOR_REVIEW
    _add_receipt(session, payment, proof, now)  # first: what is told of the success names it
    _mark_succeeded(session, payment, proof, now)
    use_money(session, order, payment, now)
    session.flush()
    return Settlement.SETTLED


def _is_held(payment: Payment, proof: Proof) -> bool:
    if payment.review_reason in DECIDED:
        return True
    return payment.review_reason is not None and not proof.decides_review


def _standing_of(session: Session, payment: Payment, proof: Proof) -> Standing:
    if proof.receipt is not None:
        return judge_receipt(session, _facts_of(payment, proof), payment)
    ended = payment.status in (PaymentState.FAILED, PaymentState.CANCELLED)
    if ended and _is_counted_as_paybill(session, payment):
        return Standing.TOLD_TWICE
    return Standing.OURS


def _facts_of(payment: Payment, proof: Proof) -> ReceiptFacts:
    if proof.receipt is None:
        raise RuntimeError(f"Nobody named a receipt for payment {payment.id}.")
    return ReceiptFacts(
        receipt=proof.receipt,
        amount_cents=payment.amount_cents,
        source=proof.source,
        bill_reference=proof.bill_reference,
        transacted_at=proof.transacted_at,
        payer_phone=proof.payer_phone,
        payer_name=proof.payer_name,
    )


def _is_counted_as_paybill(session: Session, payment: Payment) -> bool:
    """A prompt had ended when money of its amount came by itself, and now a query without a
    receipt says paid: it is that money, until a receipt of its own says that there was more.
    """
    began = payment.created_at - CLOCKS_DIFFER
    payers = session.scalars(
        select(MpesaReceipt.payer_phone)
        .join(Payment, Payment.id == MpesaReceipt.payment_id)
        .where(
            Payment.order_id == payment.order_id,
            Payment.kind == PaymentKind.PAYBILL,
            Payment.amount_cents == payment.amount_cents,
            MpesaReceipt.transacted_at.is_(None) | (MpesaReceipt.transacted_at >= began),
        )
    )
    return any(fits_msisdn(payer, payment.prompted_msisdn) is not False for payer in payers)


def _note_told_twice(session: Session, payment: Payment, proof: Proof, now: datetime) -> Settlement:
    """The money of this prompt is in the books as paybill money: end it, and book nothing."""
    if payment.status in LIVE_STATES:
        before = payment.status
        payment.status = PaymentState.FAILED
        payment.result_code, payment.result_desc = proof.result_code, proof.result_desc
        payment.customer_message = PAID_MESSAGE
        payment.next_check_at = payment.leased_until = None
        payment.finished_at = payment.updated_at = now
        record_payment_event(
            session,
            payment.id,
            from_status=before,
            to_status=payment.status,
            source=proof.source,
            now=now,
            detail="its money was counted already, as it came to the paybill",
        )
        session.flush()
    return Settlement.ALREADY_SETTLED


def _report_conflict(session: Session, payment: Payment, proof: Proof, now: datetime) -> Settlement:
    matter = Matter(
        kind=TaskKind.RECEIPT_CONFLICT,
        title=f"Receipt {proof.receipt} was reported for two payments",
        description=f"Payment {payment.id} was reported as paid with receipt {proof.receipt},"
        " which already stands for another payment. Compare both with the M-Pesa statement."
        " Nothing was booked.",
        dedupe_key=f"receipt_conflict:{proof.receipt}:{payment.id}",
    )
    if payment.status in _MAY_SUCCEED:
        hold_for_review(session, payment, "receipt_conflict", matter, now, receipt=proof.receipt)
    else:
        file_task(session, matter, now, payment=payment, receipt=proof.receipt)
    return Settlement.RECEIPT_CONFLICT


def _mark_succeeded(session: Session, payment: Payment, proof: Proof, now: datetime) -> None:
    before = payment.status
    values = {
        "status": PaymentState.SUCCEEDED,
        "amount_verified": proof.amount_verified,
        "result_code": proof.result_code,
        "result_desc": proof.result_desc,
        "customer_message": PAID_MESSAGE,
        "review_reason": None,
        "next_check_at": None,
        "leased_until": None,
        "finished_at": now,
        "updated_at": now,
    }
    moved = session.execute(
        update(Payment)
        .where(Payment.id == payment.id, Payment.status.in_(_MAY_SUCCEED))
        .values(**values)
        .returning(Payment.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        raise RuntimeError(f"Payment {payment.id} moved under our lock.")
    take_over(payment, values)
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=PaymentState.SUCCEEDED,
        source=proof.source,
        now=now,
        detail=proof.receipt or "no receipt reported yet",
    )
    mine = (Task.payment_id == payment.id) & Task.kind.in_(REVIEW_TASKS)
    solve_tasks(session, mine, "settled", f"The {proof.source} says that it was paid.", now)


def _add_receipt(session: Session, payment: Payment, proof: Proof, now: datetime) -> bool:
    """Keep the receipt where it is not known yet; a second report adds nothing."""
    if proof.receipt is None or payment.mpesa_receipt == proof.receipt:
        return False
    if payment.mpesa_receipt is not None:
        _report_second_receipt(session, payment, proof, now)
        return False
    if not take_receipt(session, _facts_of(payment, proof), payment, now):
        raise RuntimeError(f"Receipt {proof.receipt} was taken under our lock.")
    payment.mpesa_receipt = proof.receipt
    payment.amount_verified = proof.amount_verified
    payment.updated_at = now
    session.flush()
    return True


def _report_second_receipt(session: Session, payment: Payment, proof: Proof, now: datetime) -> None:
    matter = Matter(
        kind=TaskKind.RECEIPT_CONFLICT,
        title=f"Payment {payment.id} was reported with two receipts",
        description=f"{payment.mpesa_receipt} was booked; {proof.receipt} came later."
        " If the statement shows both, the customer paid twice and is owed a refund.",
        dedupe_key=f"two_receipts:{payment.id}:{proof.receipt}",
    )
    if file_task(session, matter, now, payment=payment, receipt=proof.receipt):
        record_payment_event(
            session,
            payment.id,
            from_status=payment.status,
            to_status=payment.status,
            source=proof.source,
            now=now,
            detail=f"reported again with another receipt, {proof.receipt}",
        )
        session.flush()
