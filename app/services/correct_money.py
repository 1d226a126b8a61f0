"""Money that was booked and was not there, or was another amount: put right by an event of its own.

Only a person decides this. The books are append-only, so that what was believed stays on record
beside what was found. The caller has locked the order, then the payment, then its receipt.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    Account,
    MoneySource,
    MpesaReceipt,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentState,
    ReceiptState,
    TaskKind,
)
from app.services.hold_for_review import WRITTEN_OFF
from app.services.ledger import balances_of, book_correction
from app.services.missing_money import Missing, split_missing
from app.services.move_order import move_order
from app.services.records import Matter, file_task, notify, record_payment_event
from app.services.sell_stock import restock_order
from app.services.use_money import buy_if_covered, solve_settled_debts
from app.utils.money import cents_to_wire

NOT_THERE_MESSAGE = (
    "M-Pesa does not know this payment. If you did pay, keep the M-Pesa message and tell the shop:"
    " we will find your money."
)


@dataclass(frozen=True, slots=True)
class Correction:
    """Who corrects, on which task, and why."""

    task_id: int
    actor_id: int
    reason: str


def write_off_payment(
    session: Session,
    order: Order,
    payment: Payment,
    row: MpesaReceipt | None,
    why: Correction,
    now: datetime,
) -> Missing:
    """The money of this payment never came: it failed, and its order is what the rest pays for.

    It has no receipt where a query alone had called it paid.
    """
    missing = _book_missing(session, order, payment, payment.amount_cents, why, now)
    if row is not None:
        row.state = ReceiptState.WRITTEN_OFF
    before = payment.status
    payment.status = PaymentState.FAILED
    payment.mpesa_receipt = None
    payment.amount_verified = False
    payment.review_reason = WRITTEN_OFF
    payment.customer_message = NOT_THERE_MESSAGE
    payment.next_check_at = payment.leased_until = None
    payment.finished_at = payment.updated_at = now
    said = f"the money of {f'receipt {row.receipt}' if row else 'this payment'} was not there"
    record_decision_on(session, payment, before, f"{said}: {why.reason}", now)
    _follow(session, order, payment, missing, why, now)
    _tell_buyer(session, order, missing, NOT_THERE_MESSAGE, now)
    return missing


def correct_amount(
    session: Session,
    order: Order,
    payment: Payment,
    row: MpesaReceipt,
    why: Correction,
    now: datetime,
    *,
    cents: int,
) -> None:
    """M-Pesa's books have another amount for money that came by itself, and theirs is right.

    Less pays for less. More buys a pending order, or is owed back.
    """
    more_cents = cents - payment.amount_cents
    was, is_now = cents_to_wire(payment.amount_cents), cents_to_wire(cents)
    missing = None
    if more_cents < 0:
        missing = _book_missing(session, order, payment, -more_cents, why, now)
    else:
        is_pending = order.status == OrderStatus.PENDING
        owed_as = Account.CUSTOMER if is_pending else Account.REFUNDS_DUE
        entries = {Account.MPESA: more_cents, owed_as: -more_cents}
        book_correction(session, payment, entries, why.task_id, now)
    payment.amount_cents = row.amount_cents = cents
    payment.updated_at = now
    said = f"KES {was} was wrong, KES {is_now} is right"
    record_decision_on(session, payment, payment.status, f"{said}: {why.reason}", now)
    if missing is not None:
        _follow(session, order, payment, missing, why, now)
        sentence = f"We had counted KES {was} of you; M-Pesa's books say KES {is_now}."
        _tell_buyer(session, order, missing, sentence, now)
    elif order.status == OrderStatus.PENDING:
        buy_if_covered(session, order, payment, now)
    else:
        _owe(session, order, more_cents, payment, why, now)


def _book_missing(
    session: Session, order: Order, payment: Payment, cents: int, why: Correction, now: datetime
) -> Missing:
    missing = split_missing(
        OrderStatus(order.status), order.total_cents, balances_of(session, order.id), cents
    )
    book_correction(session, payment, missing.entries, why.task_id, now)
    return missing


def record_decision_on(
    session: Session, payment: Payment, before: str, detail: str, now: datetime
) -> None:
    """Put what a person made of a payment into its history; ``before`` is how it stood."""
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=payment.status,
        source=MoneySource.PERSON,
        now=now,
        detail=detail,
    )
    session.flush()


def _follow(
    session: Session,
    order: Order,
    payment: Payment,
    missing: Missing,
    why: Correction,
    now: datetime,
) -> None:
    """The order stands where its money does; nothing is sent that is not paid."""
    if missing.undoes_sale:
        reason = f"the money of payment {payment.id} was not there"
        move_order(session, order, OrderStatus.CANCELLED, now, actor_id=why.actor_id, reason=reason)
        restock_order(session, order.id, now)
        _stop_sellers(session, order, now)
        owed_cents = -balances_of(session, order.id)[Account.REFUNDS_DUE]
        if owed_cents > 0:
            _owe(session, order, owed_cents, payment, why, now)
    solve_settled_debts(
        session, order, "corrected", "Nothing is owed after all.", now, actor_id=why.actor_id
    )
    session.flush()


def _owe(
    session: Session, order: Order, cents: int, payment: Payment, why: Correction, now: datetime
) -> None:
    """What a correction left over is to go back, and a person is told."""
    amount = f"KES {cents_to_wire(cents)}"
    unpaid = order.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    file_task(
        session,
        Matter(
            kind=TaskKind.LATE_MONEY if unpaid else TaskKind.OVER_PAYMENT,
            title=f"Refund {amount} for order {order.number}",
            description=f"Payment {payment.id} was put right by a person ({why.reason}). Order"
            f" {order.number} is {order.status}, and {amount} that came for it is in the books as"
            " a refund due.",
            dedupe_key=f"corrected:{why.task_id}",
        ),
        now,
        order_id=order.id,
    )
    notify(
        session,
        order.user_id,
        "refund_due",
        title=f"We owe you {amount}",
        body=f"Order {order.number} is {order.status}. We have kept your money safe and will send"
        " it back.",
        now=now,
        order_id=order.id,
    )
    session.flush()


def _stop_sellers(session: Session, order: Order, now: datetime) -> None:
    lines = select(OrderLine.seller_id).where(OrderLine.order_id == order.id)
    for seller_id in sorted(set(session.scalars(lines))):
        notify(
            session,
            seller_id,
            "order_cancelled",
            title=f"Do not send order {order.number}",
            body="Its payment turned out not to be there. Its goods are on sale again.",
            now=now,
            order_id=order.id,
        )


def _tell_buyer(
    session: Session, order: Order, missing: Missing, sentence: str, now: datetime
) -> None:
    title = f"About your payment for order {order.number}"
    if missing.undoes_sale:
        title = f"Order {order.number} is cancelled"
    elif order.status == OrderStatus.PENDING or missing.loss_cents:
        title = f"Order {order.number} is not paid in full"
    notify(
        session,
        order.user_id,
        "payment_not_there",
        title=title,
        body=sentence,
        now=now,
        order_id=order.id,
    )
    session.flush()
