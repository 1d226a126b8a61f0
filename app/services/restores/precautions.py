"""What is done to a shop that went back in time, before anybody works in it again.

It has forgotten what it did since its backup; the world has not. So nothing that may have been done
is done again, and whatever can be asked is asked.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    LoginSession,
    Order,
    OrderStatus,
    Payment,
    Refund,
    RefundKind,
    RefundState,
    RequestKind,
    Restore,
    Task,
    TaskKind,
)
from app.services.mpesa_requests import NewRequest, record_request, record_request_silence
from app.services.records import Matter, file_task, solve_tasks
from app.services.refunds.move_refund import Step, hold_refund, move_refund
from app.services.refunds.send_refund import find_money_request
from app.utils.callback_secret import CallbackSecret
from app.utils.clock import EAT
from app.utils.money import cents_to_wire

ORDERS_WAIT = timedelta(days=1)
"""So much longer an unpaid order stands: it may have been paid, and M-Pesa's list tells of it."""

_SENDS = {RefundKind.REVERSAL: RequestKind.REVERSAL, RefundKind.PAYOUT: RequestKind.PAYOUT}
_MAY_STILL_GO = (RefundState.AWAITING_APPROVAL, RefundState.CREATED)
_FORGOTTEN = "the shop was restored, and may have sent it after the backup"


@dataclass(frozen=True, slots=True)
class Precautions:
    """How many rows each was about."""

    doubtful_refunds: int
    asked_refunds: int
    asked_payments: int
    waiting_orders: int
    ended_sessions: int


def record_restore(
    session: Session, backup_name: str, made_at: datetime, now: datetime, *, moved: bool = False
) -> Restore:
    """Put the restore on record. From the commit on refunds are held, unless the shop was only
    moved: then nothing can have happened that it does not know.
    """
    restore = Restore(
        backup_name=backup_name[:200],
        backup_made_at=min(made_at, now),
        restored_at=now,
        refunds_released_at=now if moved else None,
        release_reason="The shop was moved: it had been stopped before its backup."
        if moved
        else None,
    )
    session.add(restore)
    session.flush()
    return restore


def take_precautions(session: Session, restore: Restore, now: datetime) -> Precautions:
    """Make sure that nothing is done twice which may have been done since the backup."""
    doubtful = _doubt_refunds(session, restore, now)
    taken = Precautions(
        doubtful_refunds=doubtful,
        asked_refunds=_ask_about_refunds(session, now),
        asked_payments=_ask_about_payments(session, now),
        waiting_orders=_let_orders_wait(session, now),
        ended_sessions=_end_sign_ins(session, now),
    )
    _tell_what_to_do(session, restore, now)
    session.flush()
    return taken


def restored_from(session: Session) -> datetime | None:
    """The moment of the backup that the shop was last restored from, if it ever was."""
    return session.scalar(select(func.max(Restore.backup_made_at)))


def _doubt_refunds(session: Session, restore: Restore, now: datetime) -> int:
    """Each refund that was not sent may have been sent since: from now on nobody knows.

    A request stands for the sending that may have been; the database allows a refund no second.
    """
    found = session.scalars(
        select(Refund.id).where(Refund.state.in_(_MAY_STILL_GO)).order_by(Refund.id)
    ).all()
    count = 0
    for refund_id in found:
        refund = hold_refund(session, refund_id).refund
        if find_money_request(session, refund_id) is not None:
            continue  # it was sent, or may have been, before the backup: it is asked about anyway
        _stand_in_for_sending(session, refund, now)
        is_reversal = refund.kind == RefundKind.REVERSAL
        move_refund(
            session,
            refund,
            RefundState.UNKNOWN,
            Step("restore", detail=_FORGOTTEN),
            now,
            result_desc=_FORGOTTEN,
            next_check_at=now if is_reversal else None,
            leased_until=None,
        )
        _hand_over(session, refund, restore, now)
        count += 1
    return count


def _stand_in_for_sending(session: Session, refund: Refund, now: datetime) -> None:
    kind = _SENDS.get(RefundKind(refund.kind))
    if kind is None:
        return  # a person does it, and no request
    new = NewRequest(kind, refund_id=refund.id, receipt=refund.receipt)
    request = record_request(session, new, CallbackSecret.new(), now)
    record_request_silence(session, request.id, _FORGOTTEN, now)


def _hand_over(session: Session, refund: Refund, restore: Restore, now: datetime) -> None:
    approval = (Task.refund_id == refund.id) & (Task.kind == TaskKind.REFUND_APPROVAL)
    solve_tasks(session, approval, "restored", f"Refund {refund.id}: {_FORGOTTEN}.", now)
    file_task(
        session,
        Matter(
            kind=TaskKind.UNKNOWN_REFUND,
            title=f"Did refund {refund.id} go back after the backup?",
            description=f"At {_moment(restore.backup_made_at)} KES"
            f" {cents_to_wire(refund.amount_cents)} of receipt {refund.receipt} was still to go"
            f" back by {refund.kind}. The shop was restored to that moment, and does not know what"
            " it did since. Look in M-Pesa's portal: if the money went back, note its receipt on"
            " the page of the refund; if it did not, say so there, and ask for the refund again. It"
            " is not sent by itself.",
            dedupe_key=f"restored_refund:{restore.id}:{refund.id}",
        ),
        now,
        order_id=refund.order_id,
        refund_id=refund.id,
        receipt=refund.receipt,
    )


def _ask_about_refunds(session: Session, now: datetime) -> int:
    """Those that were sent before the backup are asked about now, and not when it was planned."""
    return _make_due(session, Refund, Refund.next_check_at.is_not(None), now)


def _ask_about_payments(session: Session, now: datetime) -> int:
    open_ones = Payment.status.in_(LIVE_STATES) & Payment.next_check_at.is_not(None)
    return _make_due(session, Payment, open_ones, now)


def _make_due(
    session: Session,
    model: type[Refund] | type[Payment],
    which: ColumnElement[bool],
    now: datetime,
) -> int:
    due = session.execute(
        update(model)
        .where(which)
        .values(next_check_at=now, leased_until=None)
        .returning(model.id)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()
    return len(due.all())


def _let_orders_wait(session: Session, now: datetime) -> int:
    waiting = session.execute(
        update(Order)
        .where(Order.status == OrderStatus.PENDING, Order.expires_at < now + ORDERS_WAIT)
        .values(expires_at=now + ORDERS_WAIT)
        .returning(Order.id)
        .execution_options(synchronize_session=False)
    )
    return len(waiting.all())


def _end_sign_ins(session: Session, now: datetime) -> int:
    """One that was ended since, because it was stolen, would live again."""
    ended = session.execute(
        update(LoginSession)
        .where(LoginSession.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason="restored_from_backup")
        .returning(LoginSession.id)
        .execution_options(synchronize_session=False)
    )
    return len(ended.all())


def _tell_what_to_do(session: Session, restore: Restore, now: datetime) -> None:
    since, until = _moment(restore.backup_made_at), _moment(restore.restored_at)
    file_task(
        session,
        Matter(
            kind=TaskKind.STATEMENT_DIFFERENCE,
            title="The shop was restored: bring in M-Pesa's statement, then release refunds",
            description=f"It is again as it was at {since}, and was restored at {until}. Payments"
            " and refunds of the time between are on M-Pesa's books alone. Export the statement of"
            " these days from M-Pesa's portal and import it (python manage.py payments"
            " import-statement). No refund is sent before python manage.py payments"
            " release-refunds.",
            dedupe_key=task_key(restore),
        ),
        now,
    )


def task_key(restore: Restore) -> str:
    """By which the task of a restore is found again."""
    return f"restored:{restore.id}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(EAT):%Y-%m-%d %H:%M} (Nairobi)"
