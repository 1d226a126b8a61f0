"""Payments as people see them, scoped to who asks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Payment, PaymentState, Refund, RefundState
from app.policies import Actor, visible_payments
from app.services.pages import Page, PageRequest, SortKey, paginate


@dataclass(frozen=True, slots=True)
class PaymentView:
    """A payment, and how much of it has gone back."""

    payment: Payment
    refunded_cents: int


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    status: PaymentState | None = None
    order_id: int | None = None
    mpesa_receipt: str | None = None
    phone_number: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def find_payment(session: Session, actor: Actor, payment_id: int) -> Payment:
    """Raises NotFound if the payment is missing or not for this actor to see."""
    payment = session.scalar(
        select(Payment)
        .where(Payment.id == payment_id, visible_payments(actor))
        .execution_options(populate_existing=True)
    )
    if payment is None:
        raise NotFound("There is no such transaction.", code="transaction_not_found")
    return payment


def list_payments(
    session: Session, actor: Actor, wanted: PaymentFilter, page: PageRequest
) -> Page[Payment]:
    """Newest first."""
    conditions = [visible_payments(actor)]
    if wanted.status is not None:
        conditions.append(Payment.status == wanted.status)
    if wanted.order_id is not None:
        conditions.append(Payment.order_id == wanted.order_id)
    if wanted.mpesa_receipt is not None:
        conditions.append(Payment.mpesa_receipt == wanted.mpesa_receipt)
    if wanted.phone_number is not None:
        conditions.append(Payment.msisdn == wanted.phone_number)
    if wanted.created_after is not None:
        conditions.append(Payment.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(Payment.created_at < wanted.created_before)
    return paginate(
        session, select(Payment).where(*conditions), [SortKey(Payment.id, descending=True)], page
    )


def view_payment(session: Session, actor: Actor, payment_id: int) -> PaymentView:
    """As find_payment, with what has gone back of it."""
    return views_of(session, [find_payment(session, actor, payment_id)])[0]


def view_payments(
    session: Session, actor: Actor, wanted: PaymentFilter, page: PageRequest
) -> Page[PaymentView]:
    """As list_payments, with what has gone back of each."""
    found = list_payments(session, actor, wanted, page)
    return Page(views_of(session, found.rows), found.next_cursor, found.total)


def views_of(session: Session, payments: Sequence[Payment]) -> list[PaymentView]:
    """These payments, each with what has gone back of it."""
    rows = session.execute(
        select(Refund.payment_id, func.sum(Refund.amount_cents))
        .where(
            Refund.payment_id.in_([payment.id for payment in payments]),
            Refund.state == RefundState.SUCCEEDED,
        )
        .group_by(Refund.payment_id)
    )
    refunded = {row[0]: int(row[1]) for row in rows}
    return [PaymentView(payment, refunded.get(payment.id, 0)) for payment in payments]
