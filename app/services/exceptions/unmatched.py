"""Money without an order: given to one, or found to be no business of the shop."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.models import MpesaReceipt, Order, Payment, ReceiptState, TaskKind
from app.policies import Actor
from app.services.exceptions.actions import Action
from app.services.exceptions.foresee import Effect, Foresight, foresee_receipt
from app.services.exceptions.messages import dismiss_message
from app.services.exceptions.take_up import Case, close, find_exception, take_up
from app.services.unmatched_money import attach_money, dismiss_money
from app.utils.order_number import tidy_order_number


@dataclass(frozen=True, slots=True)
class Attachment:
    """Which order the money is for. ``expected`` is what the decider was told that it would do."""

    order_number: str
    reason: str | None = None
    expected: Effect | None = None


def find_order_by_number(session: Session, number: str) -> Order:
    """Raises InvalidInput for a number that no order has."""
    order = session.scalar(select(Order).where(Order.number == tidy_order_number(number)))
    if order is None:
        raise InvalidInput.field("order_number", "There is no order with this number.")
    return order


def foresee_attachment(
    session: Session, actor: Actor, task_id: int, order_number: str
) -> tuple[Order, Foresight]:
    """What attaching would do now. Changes nothing. Raises as attach_to_order does."""
    task = find_exception(session, actor, task_id)
    row = session.get(MpesaReceipt, task.receipt) if task.receipt else None
    if row is None or row.state != ReceiptState.UNMATCHED:
        raise Conflict("This cannot be done here now.", code="not_possible_now")
    order = find_order_by_number(session, order_number)
    return order, foresee_receipt(session, order, row)


def attach_to_order(
    session: Session, actor: Actor, task_id: int, ask: Attachment, now: datetime
) -> Payment:
    """The money is for this order, whatever that makes of it: the rules of money decide.

    Raises NotFound, Forbidden, InvalidInput for a number that no order has, and Conflict:
    ``already_decided``, ``refund_under_way``, ``not_possible_now``, and ``effect_changed`` when it
    would do something else than the decider was told.
    """
    order_id = find_order_by_number(session, ask.order_number).id
    case = take_up(session, actor, task_id, Action.ATTACH, order_id=order_id)
    if case.order is None or case.row is None:
        raise RuntimeError(f"Task {task_id} has no money to attach.")
    if ask.expected not in (None, foresee_receipt(session, case.order, case.row).effect):
        raise Conflict(
            "The order has changed meanwhile, and the money would do something else now. Look at"
            " it again.",
            code="effect_changed",
        )
    return attach_money(
        session, case.row, case.order, now, actor_id=actor.user_id, reason=ask.reason
    )


def dismiss(session: Session, actor: Actor, task_id: int, reason: str, now: datetime) -> None:
    """Close a matter with a reason, where nothing is forgotten by that.

    Money without an order leaves the shop's debts. Raises NotFound, Forbidden, and Conflict:
    ``already_decided``, ``money_still_owed``, ``refund_under_way``, ``needs_a_decision``.
    """
    if find_exception(session, actor, task_id).kind == TaskKind.STUCK_MESSAGE:
        dismiss_message(session, actor, task_id, reason, now)
        return
    case = take_up(session, actor, task_id, Action.DISMISS)
    if _is_unmatched(case) and case.row is not None:
        dismiss_money(session, case.row, reason, now, actor_id=actor.user_id)
    else:
        close(session, actor, case, Action.DISMISS, reason, now)


def _is_unmatched(case: Case) -> bool:
    is_kind = case.situation.kind == TaskKind.UNMATCHED_MONEY
    return is_kind and case.situation.receipt == ReceiptState.UNMATCHED
