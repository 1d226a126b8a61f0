"""What evidence does to a payment and its order. Money wins; nothing is counted twice.

It may be called again, late, out of order or side by side: it locks the order first
and moves the payment by one conditional UPDATE.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    Account,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    TaskKind,
)
from app.services.hold_for_review import hold_for_review
from app.services.hold_stock import sell_again, sell_held_stock
from app.services.ledger import book_payment, book_sale
from app.services.move_order import move_order
from app.services.payment_evidence import Proof, Settlement, lock_payment
from app.services.records import (
    Matter,
    file_task,
    notify,
    record_payment_event,
    tell_sellers,
)
from app.services.webhooks.news import tell_of_receipt
from app.utils.money import cents_to_wire
from app.utils.phone import mask_msisdn

PAID_MESSAGE = "Paid. Thank you."


_MAY_SUCCEED = (*LIVE_STATES, PaymentState.FAILED, PaymentState.CANCELLED)


def settle_payment(session: Session, payment_id: int, proof: Proof, now: datetime) -> Settlement:
    """Count the money once and do what follows from it."""
    order, payment = lock_payment(session, payment_id)
    if proof.receipt and _belongs_to_another(session, proof.receipt, payment):
        return _report_conflict(session, payment, proof, now)
    if payment.status not in _MAY_SUCCEED:
        if _add_receipt(session, payment, proof, now):
            tell_of_receipt(session, payment.id, now)
        return Settlement.ALREADY_SETTLED
    if payment.review_reason is not None:
        return Settlement.HELD_FOR_REVIEW
    _add_receipt(session, payment, proof, now)  # first: what is told of the success names it
    _mark_succeeded(session, payment, proof, now)
    _use_money(session, order, payment, now)
    session.flush()
    return Settlement.SETTLED


def _belongs_to_another(session: Session, receipt: str, payment: Payment) -> bool:
    owner = session.scalar(select(MpesaReceipt.payment_id).where(MpesaReceipt.receipt == receipt))
    return owner is not None and owner != payment.id


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
        hold_for_review(session, payment, "receipt_conflict", matter, now)
    else:
        file_task(session, matter, now, payment=payment)
    return Settlement.RECEIPT_CONFLICT


def _mark_succeeded(session: Session, payment: Payment, proof: Proof, now: datetime) -> None:
    before = payment.status
    moved = session.execute(
        update(Payment)
        .where(Payment.id == payment.id, Payment.status.in_(_MAY_SUCCEED))
        .values(
            status=PaymentState.SUCCEEDED,
            amount_verified=proof.amount_verified,
            result_code=proof.result_code,
            result_desc=proof.result_desc,
            customer_message=PAID_MESSAGE,
            next_check_at=None,
            leased_until=None,
            finished_at=now,
            updated_at=now,
        )
        .returning(Payment.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        raise RuntimeError(f"Payment {payment.id} moved under our lock.")
    session.refresh(payment)
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=PaymentState.SUCCEEDED,
        source=proof.source,
        now=now,
        detail=proof.receipt or "no receipt reported yet",
    )


def _add_receipt(session: Session, payment: Payment, proof: Proof, now: datetime) -> bool:
    """Keep the receipt where it is not known yet; a second report adds nothing."""
    if proof.receipt is None or payment.mpesa_receipt == proof.receipt:
        return False
    if payment.mpesa_receipt is not None:
        _report_second_receipt(session, payment, proof, now)
        return False
    payment.mpesa_receipt = proof.receipt
    payment.amount_verified = proof.amount_verified
    payment.updated_at = now
    session.add(
        MpesaReceipt(
            receipt=proof.receipt,
            payment_id=payment.id,
            amount_cents=payment.amount_cents,
            source=proof.source,
            created_at=now,
        )
    )
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
    if file_task(session, matter, now, payment=payment):
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


def _use_money(session: Session, order: Order, payment: Payment, now: datetime) -> None:
    """Pay the order if it can still be had; else keep the money for a refund and tell a person."""
    if order.status == OrderStatus.PENDING:
        book_payment(session, payment, Account.CUSTOMER, now)
        _complete_order(session, order, payment, now, late=False)
    elif order.status == OrderStatus.EXPIRED and sell_again(session, order.id, now):
        book_payment(session, payment, Account.CUSTOMER, now)
        _complete_order(session, order, payment, now, late=True)
    else:
        book_payment(session, payment, Account.REFUNDS_DUE, now)
        _owe_refund(session, order, payment, now)


def _complete_order(
    session: Session, order: Order, payment: Payment, now: datetime, *, late: bool
) -> None:
    """This payment buys the goods. Money that came before it found none, and is to go back."""
    if payment.amount_cents < order.total_cents:
        raise RuntimeError(f"Order {order.id} would be paid by less than its total.")
    if not late:
        sell_held_stock(session, order.id, now)
    book_sale(session, order, payment.amount_cents, now)
    reason = "late payment, stock still there" if late else None
    move_order(session, order, OrderStatus.PAID, now, reason=reason)
    notify(
        session,
        order.user_id,
        "order_paid",
        title=f"Order {order.number} is paid",
        body=f"We received KES {cents_to_wire(payment.amount_cents)}. Thank you.",
        now=now,
        order_id=order.id,
    )
    tell_sellers(session, order, now)


def _owe_refund(session: Session, order: Order, payment: Payment, now: datetime) -> None:
    amount = f"KES {cents_to_wire(payment.amount_cents)}"
    unpaid = order.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    kind = TaskKind.LATE_MONEY if unpaid else TaskKind.DOUBLE_PAYMENT
    file_task(
        session,
        Matter(
            kind=kind,
            title=f"Refund {amount} for order {order.number}",
            description=f"Order {order.number} was {order.status} when {amount} came from"
            f" {mask_msisdn(payment.msisdn)} (receipt {payment.mpesa_receipt or 'not known yet'})."
            " The money is in the books as a refund due; the order is unchanged.",
            dedupe_key=f"{kind}:{payment.id}",
        ),
        now,
        payment=payment,
    )
    notify(
        session,
        order.user_id,
        "refund_due",
        title=f"We owe you {amount}",
        body=f"Your payment arrived when order {order.number} was already {order.status}."
        " We have kept it safe and will send it back.",
        now=now,
        order_id=order.id,
    )
