"""What events say: enough to know what to do, or to ask for; no whole phone, nobody's address."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import MpesaReceipt, Order, Payment, PaymentState, Task
from app.services.read_orders import OrderView, money_of
from app.services.webhooks.emit import emit_event
from app.services.webhooks.event_types import OF_ORDER, OF_PAYMENT, EventType
from app.utils.clock import rfc3339
from app.utils.money import CURRENCY, cents_to_wire
from app.utils.phone import mask_msisdn, normalise_msisdn


def tell_of_order(session: Session, order: Order, from_status: str | None, now: datetime) -> None:
    """That an order has taken the step to where it stands."""
    emit_event(
        session,
        OF_ORDER[order.status],
        lambda: _order_data(session, order, from_status),
        now,
        order_id=order.id,
    )


def tell_of_payment(
    session: Session, payment_id: int, from_status: str | None, to_status: str, now: datetime
) -> None:
    """That a payment has moved; news that moved nothing, and the wish to pay, are not told."""
    event_type = OF_PAYMENT.get(to_status)
    if event_type is not None and to_status != from_status:
        _emit_payment(session, event_type, payment_id, from_status, now)


def tell_of_receipt(session: Session, payment_id: int, now: datetime) -> None:
    """That M-Pesa named the receipt of a payment which a query had settled without one."""
    _emit_payment(session, EventType.PAYMENT_RECEIPT_ADDED, payment_id, PaymentState.SUCCEEDED, now)


def tell_of_unmatched_money(session: Session, row: MpesaReceipt, now: datetime) -> None:
    """That money came of which nobody knows what it is for."""
    emit_event(session, EventType.MONEY_UNMATCHED, lambda: _money_data(row), now)


def tell_of_task(session: Session, dedupe_key: str, now: datetime) -> None:
    """That the shop has filed something that only a person can decide."""
    emit_event(session, EventType.TASK_FILED, lambda: _task_data(session, dedupe_key), now)


def _emit_payment(
    session: Session,
    event_type: EventType,
    payment_id: int,
    from_status: str | None,
    now: datetime,
) -> None:
    emit_event(
        session,
        event_type,
        lambda: _payment_data(session, payment_id, from_status),
        now,
        payment_id=payment_id,
    )


def _order_data(session: Session, order: Order, from_status: str | None) -> dict[str, Any]:
    view = OrderView(order, money_of(session, [order.id])[order.id])
    receipts = (
        select(Payment.mpesa_receipt)
        .where(
            Payment.order_id == order.id,
            Payment.status.in_((PaymentState.SUCCEEDED, PaymentState.REFUNDED)),
            Payment.mpesa_receipt.is_not(None),
        )
        .order_by(Payment.id)
    )
    return {
        "id": order.id,
        "number": order.number,
        "user_id": order.user_id,
        "status": str(order.status),
        "previous_status": from_status and str(from_status),
        "payment_status": str(view.payment_status),
        "total_price": cents_to_wire(order.total_cents),
        "amount_paid": cents_to_wire(view.money.paid_cents),
        "amount_due": cents_to_wire(view.amount_due_cents),
        "currency": CURRENCY,
        "mpesa_receipts": list(session.scalars(receipts)),
        "created_at": rfc3339(order.created_at),
    }


def _payment_data(session: Session, payment_id: int, from_status: str | None) -> dict[str, Any]:
    payment, number = session.execute(
        select(Payment, Order.number)
        .join(Order, Order.id == Payment.order_id)
        .where(Payment.id == payment_id)
        .execution_options(populate_existing=True)  # it may have been moved by a bare UPDATE
    ).one()
    return {
        "id": payment.id,
        "order_id": payment.order_id,
        "order_number": number,
        "kind": str(payment.kind),
        "status": str(payment.status),
        "previous_status": from_status and str(from_status),
        "amount": cents_to_wire(payment.amount_cents),
        "currency": CURRENCY,
        "phone_number": mask_msisdn(payment.msisdn) if payment.msisdn else None,
        "mpesa_receipt": payment.mpesa_receipt,
        "result_code": payment.result_code,
        "timestamp": rfc3339(payment.created_at),
    }


def _money_data(row: MpesaReceipt) -> dict[str, Any]:
    return {
        "mpesa_receipt": row.receipt,
        "amount": cents_to_wire(row.amount_cents),
        "currency": CURRENCY,
        "account_number": _without_phone(row.bill_reference),
        "transacted_at": rfc3339(row.transacted_at) if row.transacted_at else None,
    }


def _without_phone(typed: str | None) -> str | None:
    """What a payer typed as the account: some type their phone."""
    try:
        return mask_msisdn(normalise_msisdn(typed or ""))
    except ValueError:
        return typed


def _task_data(session: Session, dedupe_key: str) -> dict[str, Any]:
    task = session.scalars(select(Task).where(Task.dedupe_key == dedupe_key)).one()
    return {
        "id": task.id,
        "kind": str(task.kind),
        "title": task.title,
        "priority": str(task.priority),
        "order_id": task.order_id,
        "payment_id": task.payment_id,
        "refund_id": task.refund_id,
        "mpesa_receipt": task.receipt,
        "created_at": rfc3339(task.created_at),
    }
