"""All that the office knows of one payment, and how an admin finds it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import LedgerEntry, LedgerEvent, Order, Payment, Refund, Task, User
from app.policies import Actor
from app.services.pages import Page, PageRequest
from app.services.payment_history import PaymentHistory, read_payment_history
from app.services.read_payments import PaymentFilter, find_payment, list_payments
from app.services.refunds import RefundStanding, refunds_of_receipts


@dataclass(frozen=True, slots=True)
class ListedPayment:
    """A payment with the number of its order."""

    payment: Payment
    order_number: str


@dataclass(frozen=True, slots=True)
class Booking:
    """One entry of the books, and the event that it belongs to."""

    event: LedgerEvent
    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class PaymentFile:
    """``history`` with the payer, what the books say of this payment, its refunds and tasks."""

    history: PaymentHistory
    payer: User
    bookings: Sequence[Booking]
    refunds: Sequence[Refund]
    tasks: Sequence[Task]

    @property
    def standing(self) -> RefundStanding:
        """How much of it may still go back."""
        return RefundStanding(self.history.payment, self.refunds)


def list_payments_of_orders(
    session: Session,
    actor: Actor,
    wanted: PaymentFilter,
    order_number: str | None,
    page: PageRequest,
) -> Page[ListedPayment]:
    """As list_payments, newest first, with the orders' numbers; a number may be asked for."""
    if order_number is not None:
        order_id = session.scalar(select(Order.id).where(Order.number == order_number))
        if order_id is None:
            return Page([], next_cursor=None)
        wanted = replace(wanted, order_id=order_id)
    found = list_payments(session, actor, wanted, page)
    order_ids = {payment.order_id for payment in found.rows}
    named = session.execute(select(Order.id, Order.number).where(Order.id.in_(order_ids)))
    numbers = {row[0]: row[1] for row in named}
    return Page(
        [ListedPayment(payment, numbers[payment.order_id]) for payment in found.rows],
        next_cursor=found.next_cursor,
    )


def find_payment_file(session: Session, actor: Actor, payment_id: int) -> PaymentFile:
    """Raises NotFound if the payment is missing or not for this actor to see."""
    payment = find_payment(session, actor, payment_id)
    bookings = session.execute(
        select(LedgerEvent, LedgerEntry)
        .join(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
        .where(LedgerEvent.payment_id == payment.id)
        .order_by(LedgerEntry.id)
    )
    tasks = select(Task).where(Task.payment_id == payment.id).order_by(Task.id)
    return PaymentFile(
        history=read_payment_history(session, payment.id),
        payer=session.get_one(User, payment.user_id),
        bookings=[Booking(event, entry) for event, entry in bookings],
        refunds=refunds_of_receipts(session, [payment.mpesa_receipt or ""]),
        tasks=session.scalars(tasks).all(),
    )
