"""What a refund that went through does to the books, its payment, its order and the shelf.

The caller has locked the order (if there is one), then the payment, then the refund.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import (
    Account,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    ReceiptState,
    Refund,
    Task,
    TaskKind,
)
from app.services.ledger import balances_of, book_refund
from app.services.move_order import move_order
from app.services.receipts import find_receipt
from app.services.records import notify, record_payment_event, solve_tasks
from app.services.refund_shares import SOLD, refunded_cents_of, split_refund
from app.services.sell_stock import restock_order
from app.services.use_money import solve_settled_debts
from app.utils.money import cents_to_wire


def give_money_back(
    session: Session, refund: Refund, order: Order | None, payment: Payment | None, now: datetime
) -> None:
    """Book a refund that has just become ``succeeded``; the order follows its money.

    What is owed back is paid first, then what was paid for goods that were never sold, then the
    sale itself. When the whole sale is undone the order is ``refunded``.
    """
    session.flush()
    if order is None or payment is None:
        _give_unmatched_back(session, refund, now)
        return
    taken_from = split_refund(refund.amount_cents, balances_of(session, order.id))
    book_refund(session, refund, taken_from, now)
    _move_payment(session, refund, payment, now)
    _move_order(session, refund, order, now)
    reason = f"Refund {refund.id} went back."
    actor_id = refund.approved_by or refund.requested_by
    solve_settled_debts(session, order, "refunded", reason, now, actor_id=actor_id)
    notify(
        session,
        order.user_id,
        "refunded",
        title=f"KES {cents_to_wire(refund.amount_cents)} went back to you",
        body=f"It is from order {order.number}. M-Pesa has sent you a message about it.",
        now=now,
        order_id=order.id,
    )
    session.flush()


def _give_unmatched_back(session: Session, refund: Refund, now: datetime) -> None:
    book_refund(session, refund, {Account.UNMATCHED: refund.amount_cents}, now)
    row = find_receipt(session, refund.receipt)
    if row is None or row.state != ReceiptState.UNMATCHED:
        raise RuntimeError(f"Receipt {refund.receipt} is not unmatched.")
    if refunded_cents_of(session, refund.receipt) >= row.amount_cents:
        row.state = ReceiptState.REFUNDED
        mine = (Task.receipt == row.receipt) & (Task.kind == TaskKind.UNMATCHED_MONEY)
        actor_id = refund.approved_by or refund.requested_by
        reason = f"Refund {refund.id} went back."
        solve_tasks(session, mine, "refunded", reason, now, actor_id=actor_id)
    session.flush()


def _move_payment(session: Session, refund: Refund, payment: Payment, now: datetime) -> None:
    before = payment.status
    if refunded_cents_of(session, refund.receipt) >= payment.amount_cents:
        payment.status = PaymentState.REFUNDED
    payment.updated_at = now
    record_payment_event(
        session,
        payment.id,
        from_status=before,
        to_status=payment.status,
        source="refund",
        now=now,
        detail=f"KES {cents_to_wire(refund.amount_cents)} went back as refund {refund.id}",
    )
    session.flush()


def _move_order(session: Session, refund: Refund, order: Order, now: datetime) -> None:
    if order.status not in SOLD:
        return
    if balances_of(session, order.id)[Account.REFUNDS] < order.total_cents:
        return
    move_order(session, order, OrderStatus.REFUNDED, now, reason=f"refund {refund.id}")
    if refund.restock:
        restock_order(session, order.id, now)
