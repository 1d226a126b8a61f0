"""One matter of money with everything that is known of it, and what may be done about it now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.models import (
    Decision,
    InboxMessage,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    PaymentEvent,
    Refund,
    StatementLine,
    Task,
    User,
)
from app.policies import Actor
from app.services.exceptions.actions import Action, Situation, allowed_actions
from app.services.exceptions.foresee import Foresight, foresee
from app.services.exceptions.offers import RefundOffer, offer_refunds
from app.services.exceptions.queue import Queued, find_queued
from app.services.exceptions.situation import find_claim, lines_of, read_situation
from app.services.exceptions.take_up import find_exception
from app.services.find_account import Suggestion, suggest_orders
from app.services.inbox import stuck_message_id
from app.services.ledger import balances_of
from app.services.missing_money import Missing, split_missing
from app.services.payment_history import PaymentHistory, read_payment_history
from app.services.read_orders import OrderView, find_order
from app.services.read_payments import PaymentView, views_of


@dataclass(frozen=True, slots=True)
class Suggested:
    """An order that money may be for, how it stands, and what the money would do there."""

    order: Suggestion
    status: OrderStatus
    foresight: Foresight


@dataclass(frozen=True, slots=True)
class Made:
    """A decision; the name is empty where later news decided, and no person."""

    decision: Decision
    actor_name: str


@dataclass(frozen=True, slots=True)
class ExceptionFile:
    """Everything about one matter; what it has not to do with is None or empty, lists are oldest
    first. ``if_paid`` and ``if_not_there`` say what those actions would do.
    """

    queued: Queued
    situation: Situation
    actions: tuple[Action, ...]
    order: OrderView | None
    payments: Sequence[PaymentView]
    history: PaymentHistory | None
    receipt: MpesaReceipt | None
    suggestions: Sequence[Suggested]
    claim: PaymentClaim | None
    message: InboxMessage | None
    refunds: Sequence[Refund]
    lines: Sequence[StatementLine]
    offers: Sequence[RefundOffer]
    decisions: Sequence[Made]
    if_paid: Foresight | None
    if_not_there: Missing | None

    @property
    def task(self) -> Task:
        return self.queued.task

    @property
    def payment(self) -> Payment | None:
        return self.history.payment if self.history else None

    @property
    def payment_view(self) -> PaymentView | None:
        """The payment, with what has gone back of it."""
        payment = self.payment
        if payment is None:
            return None
        return next((one for one in self.payments if one.payment.id == payment.id), None)

    @property
    def steps(self) -> Sequence[PaymentEvent]:
        return self.history.events if self.history else ()

    @property
    def messages(self) -> Sequence[InboxMessage]:
        """What M-Pesa posted about the payment, or the message that is stuck."""
        if self.message is not None:
            return (self.message,)
        return self.history.messages if self.history else ()


def read_exception(session: Session, actor: Actor, task_id: int, now: datetime) -> ExceptionFile:
    """Raises Forbidden for anybody but an admin, NotFound for what is no matter of money."""
    find_exception(session, actor, task_id)
    queued = find_queued(session, task_id)
    task = queued.task
    history = read_payment_history(session, task.payment_id) if task.payment_id else None
    view = find_order(session, actor, queued.order_id) if queued.order_id is not None else None
    payment = history.payment if history else None
    situation = read_situation(session, task, view.order if view else None, payment)
    actions = allowed_actions(situation)
    number = task.receipt or (payment.mpesa_receipt if payment else None)
    row = session.get(MpesaReceipt, number) if number is not None else None
    if view is None and row is not None and row.payment_id is not None:
        history = read_payment_history(session, row.payment_id)  # what it has become
        view = find_order(session, actor, history.order.id)
    may_attach = Action.ATTACH in actions and row is not None
    may_be_paid = Action.PAID in actions and view is not None and payment is not None
    return ExceptionFile(
        queued=queued,
        situation=situation,
        actions=actions,
        order=view,
        payments=_payments(session, view),
        history=history,
        receipt=row,
        suggestions=_suggest(session, row, now) if row and may_attach else (),
        claim=find_claim(session, task),
        message=_message(session, task),
        refunds=_refunds(session, task, number, view.order.id if view else None),
        lines=_lines(session, number),
        offers=offer_refunds(session, task, view, row) if Action.REFUND in actions else (),
        decisions=_decisions(session, task),
        if_paid=foresee(session, view.order, payment.amount_cents)
        if may_be_paid and view and payment
        else None,
        if_not_there=_missing(session, view, payment) if Action.NOT_THERE in actions else None,
    )


def _payments(session: Session, view: OrderView | None) -> Sequence[PaymentView]:
    if view is None:
        return ()
    mine = select(Payment).where(Payment.order_id == view.order.id)
    return views_of(session, session.scalars(mine.order_by(Payment.id)).all())


def _suggest(session: Session, row: MpesaReceipt, now: datetime) -> list[Suggested]:
    suggested = []
    for one in suggest_orders(session, row.bill_reference, row.amount_cents, row.payer_phone, now):
        order = session.get_one(Order, one.order_id)
        foresight = foresee(session, order, row.amount_cents)
        suggested.append(Suggested(one, OrderStatus(order.status), foresight))
    return suggested


def _message(session: Session, task: Task) -> InboxMessage | None:
    message_id = stuck_message_id(task)
    return session.get(InboxMessage, message_id) if message_id is not None else None


def _refunds(
    session: Session, task: Task, receipt: str | None, order_id: int | None
) -> Sequence[Refund]:
    mine = or_(Refund.id == task.refund_id, Refund.receipt == receipt)
    if order_id is not None:
        mine = or_(mine, Refund.order_id == order_id)
    return session.scalars(select(Refund).where(mine).order_by(Refund.id)).all()


def _lines(session: Session, receipt: str | None) -> Sequence[StatementLine]:
    if receipt is None:
        return ()
    mine = select(StatementLine).where(lines_of(receipt))
    return session.scalars(mine.order_by(StatementLine.transacted_at, StatementLine.id)).all()


def _decisions(session: Session, task: Task) -> list[Made]:
    rows = session.execute(
        select(Decision, User.username)
        .outerjoin(User, User.id == Decision.actor_id)
        .where(Decision.task_id == task.id)
        .order_by(Decision.id)
    )
    return [Made(decision, name or "") for decision, name in rows]


def _missing(session: Session, view: OrderView | None, payment: Payment | None) -> Missing | None:
    if view is None or payment is None:
        return None
    order = view.order
    status, balances = OrderStatus(order.status), balances_of(session, order.id)
    return split_missing(status, order.total_cents, balances, payment.amount_cents)
