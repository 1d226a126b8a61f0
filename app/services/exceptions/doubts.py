"""Money that is in our books and doubted: it is there, it is not, or it is another amount."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.models import MoneySource, MpesaReceipt
from app.policies import Actor
from app.services.correct_money import Correction, correct_amount, write_off_payment
from app.services.exceptions.actions import Action
from app.services.exceptions.take_up import Case, about_payment, close, take_up
from app.services.missing_money import Missing
from app.services.records import record_payment_event
from app.utils.money import cents_to_wire


def say_it_is_there(
    session: Session, actor: Actor, task_id: int, reason: str, now: datetime
) -> None:
    """A person has seen the doubted money in M-Pesa's books: the goods may go.

    Raises NotFound, Forbidden, and Conflict: ``already_decided``, ``not_possible_now``.
    """
    case = take_up(session, actor, task_id, Action.IS_THERE)
    payment = about_payment(case).payment
    close(session, actor, case, Action.IS_THERE, reason, now)
    record_payment_event(
        session,
        payment.id,
        from_status=payment.status,
        to_status=payment.status,
        source=MoneySource.PERSON,
        now=now,
        detail=f"the money is there: {reason}",
    )
    session.flush()


def say_it_is_not_there(
    session: Session, actor: Actor, task_id: int, reason: str, now: datetime
) -> Missing:
    """The report was forged, or M-Pesa took the money back: the books are put right.

    Raises NotFound, Forbidden, and Conflict: ``already_decided``, ``money_is_there``,
    ``refund_under_way``, ``not_possible_now``.
    """
    case = take_up(session, actor, task_id, Action.NOT_THERE)
    found = about_payment(case)
    close(session, actor, case, Action.NOT_THERE, reason, now)
    why = Correction(task_id, actor.user_id, reason)
    return write_off_payment(session, found.order, found.payment, case.row, why, now)


def give_right_amount(
    session: Session, actor: Actor, task_id: int, cents: int, reason: str, now: datetime
) -> None:
    """M-Pesa's books have another amount for money that came by itself, and theirs is right.

    Raises NotFound, Forbidden, InvalidInput for the amount that is booked already, and Conflict:
    ``already_decided``, ``refund_under_way``, ``not_possible_now``.
    """
    case = take_up(session, actor, task_id, Action.CORRECT)
    found = about_payment(case)
    if cents == found.payment.amount_cents:
        raise InvalidInput.field("amount", "This amount is in the books already.")
    said = f"KES {cents_to_wire(cents)} is right. {reason}"
    close(session, actor, case, Action.CORRECT, said, now)
    why = Correction(task_id, actor.user_id, reason)
    correct_amount(session, found.order, found.payment, _row(case), why, now, cents=cents)


def _row(case: Case) -> MpesaReceipt:
    if case.row is None:
        raise RuntimeError(f"The payment of task {case.task.id} has no receipt.")
    return case.row
