"""Taking a matter up: its rows locked in the one order, and only what applies now is done."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden, NotFound
from app.models import MONEY_TASKS, MpesaReceipt, Order, Payment, ReceiptState, Task, TaskKind
from app.policies import Actor
from app.services.exceptions.actions import Action, Situation, allowed_actions
from app.services.exceptions.situation import read_situation
from app.services.move_order import lock_order
from app.services.payment_evidence import lock_payment
from app.services.receipts import find_receipt
from app.services.records import record_decision, solve_tasks
from app.services.use_money import DEBT_TASKS

OF_THE_PAYMENT = (Action.NOT_THERE, Action.CORRECT)
"""What is done to the receipt that the payment has, whatever receipt the task names."""


@dataclass(frozen=True, slots=True)
class Case:
    """A task with what it is about, each locked until the transaction ends."""

    task: Task
    order: Order | None
    payment: Payment | None
    row: MpesaReceipt | None
    situation: Situation


@dataclass(frozen=True, slots=True)
class PaidCase:
    """What it takes to say something of a payment."""

    order: Order
    payment: Payment


def find_exception(session: Session, actor: Actor, task_id: int) -> Task:
    """Raises Forbidden for anybody but an admin, NotFound for what is no matter of money."""
    if not actor.is_admin:
        raise Forbidden("Only an administrator decides about money.")
    task = session.scalar(
        select(Task)
        .where(Task.id == task_id, Task.kind.in_(MONEY_TASKS))
        .execution_options(populate_existing=True)
    )
    if task is None:
        raise NotFound("There is no such matter.", code="exception_not_found")
    return task


def take_up(
    session: Session,
    actor: Actor,
    task_id: int,
    action: Action,
    *,
    order_id: int | None = None,
    receipt: str | None = None,
) -> Case:
    """Lock order, payment and receipt, then the task: who comes second finds it decided.

    An order or a receipt that the task does not name may be named by who decides. Raises
    NotFound, Forbidden, and Conflict for what does not apply now.
    """
    task = find_exception(session, actor, task_id)
    order, payment = _lock_order_and_payment(session, task, order_id)
    number = receipt or task.receipt
    if action in OF_THE_PAYMENT and payment is not None:
        number = payment.mpesa_receipt
    row = find_receipt(session, number) if number is not None else None
    session.refresh(task, with_for_update=True)
    situation = read_situation(session, task, order, payment)
    if action not in allowed_actions(situation):
        raise _refusal(action, situation)
    return Case(task, order, payment, row, situation)


def close(
    session: Session, actor: Actor, case: Case, action: Action, reason: str, now: datetime
) -> None:
    """The task is done, and who decided what and why is written down."""
    mine = Task.id == case.task.id
    solve_tasks(session, mine, action, reason, now, actor_id=actor.user_id)


def note(
    session: Session, actor: Actor, case: Case, action: Action, reason: str, now: datetime
) -> None:
    """Write down what was done; the task stays open."""
    record_decision(session, case.task.id, action, reason, now, actor_id=actor.user_id)
    session.flush()


def about_payment(case: Case) -> PaidCase:
    """Raises RuntimeError where there is no payment: no action on one is allowed then."""
    if case.order is None or case.payment is None:
        raise RuntimeError(f"Task {case.task.id} is about no payment.")
    return PaidCase(case.order, case.payment)


def _lock_order_and_payment(
    session: Session, task: Task, order_id: int | None
) -> tuple[Order | None, Payment | None]:
    if task.payment_id is not None:
        return lock_payment(session, task.payment_id)
    order_id = order_id or task.order_id
    return (lock_order(session, order_id) if order_id is not None else None), None


def _refusal(action: Action, found: Situation) -> Conflict:  # noqa: PLR0911 - one for each reason
    """The sentence that says why not, the most telling first."""
    if not found.is_open:
        return Conflict(
            "This was decided meanwhile. Look at what was decided.", code="already_decided"
        )
    if action == Action.DISMISS and found.kind in (*DEBT_TASKS, TaskKind.REFUND_FAILED):
        return Conflict(
            "The shop still owes this money, and no refund is under way. Refund it first.",
            code="money_still_owed",
        )
    if found.refund_under_way and _waits_for_refund(action, found):
        return Conflict(
            "A refund of this money is under way. Wait for its end.", code="refund_under_way"
        )
    if action == Action.NOT_THERE and found.is_proved:
        return Conflict("M-Pesa's own books have this money.", code="money_is_there")
    if action == Action.NOT_PAID and found.payment is not None and not found.is_held:
        return Conflict(
            "M-Pesa is still being asked about this payment, or has said that it was paid.",
            code="payment_not_held",
        )
    if action == Action.DISMISS:
        return Conflict(
            "This needs a decision first: it cannot be closed by a word alone.",
            code="needs_a_decision",
        )
    return Conflict("This cannot be done here now.", code="not_possible_now")


def _waits_for_refund(action: Action, found: Situation) -> bool:
    if action in OF_THE_PAYMENT:
        return found.payment is not None
    return action in (Action.ATTACH, Action.DISMISS) and found.receipt == ReceiptState.UNMATCHED
