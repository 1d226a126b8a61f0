"""Payments as people see them, scoped to who asks."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Payment, PaymentState
from app.policies import Actor, visible_payments
from app.services.pages import Page, PageRequest, SortKey, paginate


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
