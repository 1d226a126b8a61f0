"""Which payments what is owed could be sent back from: what the form of a refund begins with."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    MpesaReceipt,
    Payment,
    PaymentState,
    Refund,
    RefundState,
    Task,
)
from app.services.read_orders import OrderView
from app.services.use_money import due_back

_WENT_OR_MAY_GO = (*LIVE_REFUNDS, RefundState.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class RefundOffer:
    """So much may go back of one receipt; money that never found an order has no payment."""

    payment_id: int | None
    receipt: str
    amount_cents: int


def offer_refunds(
    session: Session, task: Task, view: OrderView | None, row: MpesaReceipt | None
) -> list[RefundOffer]:
    """Enough to pay what is owed, from the payment that the task is about before others."""
    if view is None:
        return _offer_unmatched(session, row)
    left = due_back(session, view.order)
    offers = []
    for payment in _payments_with_receipt(session, view.order.id, task.payment_id):
        receipt = payment.mpesa_receipt or ""
        cents = min(left, payment.amount_cents - _gone_of(session, receipt))
        if cents > 0:
            offers.append(RefundOffer(payment.id, receipt, cents))
            left -= cents
    return offers


def _offer_unmatched(session: Session, row: MpesaReceipt | None) -> list[RefundOffer]:
    if row is None:
        return []
    cents = row.amount_cents - _gone_of(session, row.receipt)
    return [RefundOffer(None, row.receipt, cents)] if cents > 0 else []


def _payments_with_receipt(
    session: Session, order_id: int, first_id: int | None
) -> Sequence[Payment]:
    mine = session.scalars(
        select(Payment)
        .where(
            Payment.order_id == order_id,
            Payment.status == PaymentState.SUCCEEDED,
            Payment.mpesa_receipt.is_not(None),
        )
        .order_by(Payment.id.desc())
    ).all()
    return sorted(mine, key=lambda payment: payment.id != first_id)


def _gone_of(session: Session, receipt: str) -> int:
    gone = session.scalar(
        select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.receipt == receipt, Refund.state.in_(_WENT_OR_MAY_GO)
        )
    )
    return int(gone or 0)
