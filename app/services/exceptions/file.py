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
from app.services.exceptions.foresee import Foresight, foresee, foresee_receipt
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
from app.services.unmatched_money import facts_of


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


@dataclass(frozen=True, slots=True)
class _About:
    """The rows that a matter is about."""

    view: OrderView | None
    history: PaymentHistory | None
    receipt: str | None
    row: MpesaReceipt | None

    @property
    def order(self) -> Order | None:
        return self.view.order if self.view else None

    @property
    def payment(self) -> Payment | None:
        return self.history.payment if self.history else None


def read_exception(session: Session, actor: Actor, task_id: int, now: datetime) -> ExceptionFile:
    """Raises Forbidden for anybody but an admin, NotFound for what is no matter of money."""
    find_exception(session, actor, task_id)
    queued = find_queued(session, task_id)
    task = queued.task
    about = _read_about(session, actor, queued)
    situation = read_situation(session, task, about.order, about.payment)
    actions = allowed_actions(situation)
    offers = Action.REFUND in actions
    shown = about if about.view else _what_it_became(session, actor, about)
    return ExceptionFile(
        queued=queued,
        situation=situation,
        actions=actions,
        order=shown.view,
        payments=_payments(session, shown.order),
        history=shown.history,
        receipt=about.row,
        suggestions=_suggest(session, about.row, now) if Action.ATTACH in actions else (),
        claim=find_claim(session, task),
        message=_message(session, task),
        refunds=_refunds(session, task, about.receipt, shown.order),
        lines=_lines(session, about.receipt),
        offers=offer_refunds(session, task, about.view, about.row) if offers else (),
        decisions=_decisions(session, task),
        if_paid=_foresee_paid(session, about) if Action.PAID in actions else None,
        if_not_there=_foresee_missing(session, about) if Action.NOT_THERE in actions else None,
    )


def _read_about(session: Session, actor: Actor, queued: Queued) -> _About:
    task = queued.task
    history = read_payment_history(session, task.payment_id) if task.payment_id else None
    view = find_order(session, actor, queued.order_id) if queued.order_id is not None else None
    receipt = task.receipt or (history.payment.mpesa_receipt if history else None)
    row = session.get(MpesaReceipt, receipt) if receipt is not None else None
    return _About(view, history, receipt, row)


def _what_it_became(session: Session, actor: Actor, about: _About) -> _About:
    """Money that had no order, and has one by now."""
    if about.row is None or about.row.payment_id is None:
        return about
    history = read_payment_history(session, about.row.payment_id)
    view = find_order(session, actor, history.order.id)
    return _About(view, history, about.receipt, about.row)


def _payments(session: Session, order: Order | None) -> Sequence[PaymentView]:
    if order is None:
        return ()
    mine = select(Payment).where(Payment.order_id == order.id)
    return views_of(session, session.scalars(mine.order_by(Payment.id)).all())


def _suggest(session: Session, row: MpesaReceipt | None, now: datetime) -> list[Suggested]:
    suggested: list[Suggested] = []
    if row is None:
        return suggested
    for one in suggest_orders(session, facts_of(row), now):
        order = session.get_one(Order, one.order_id)
        foresight = foresee_receipt(session, order, row)
        suggested.append(Suggested(one, OrderStatus(order.status), foresight))
    return suggested


def _message(session: Session, task: Task) -> InboxMessage | None:
    message_id = stuck_message_id(task)
    return session.get(InboxMessage, message_id) if message_id is not None else None


def _refunds(
    session: Session, task: Task, receipt: str | None, order: Order | None
) -> Sequence[Refund]:
    mine = or_(Refund.id == task.refund_id, Refund.receipt == receipt)
    if order is not None:
        mine = or_(mine, Refund.order_id == order.id)
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


def _foresee_paid(session: Session, about: _About) -> Foresight | None:
    if about.order is None or about.payment is None:
        return None
    return foresee(session, about.order, about.payment.amount_cents)


def _foresee_missing(session: Session, about: _About) -> Missing | None:
    if about.order is None or about.payment is None:
        return None
    order = about.order
    status, balances = OrderStatus(order.status), balances_of(session, order.id)
    return split_missing(status, order.total_cents, balances, about.payment.amount_cents)
