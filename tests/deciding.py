"""What tests look at after a person has decided about money."""

from sqlalchemy import select

from app.models import Decision, MpesaReceipt, Notification, Task
from app.services.payment_evidence import Proof
from tests.core import after, is_clean

WHY = "I looked on the statement."
LATER = after(hours=2)
QUERIED_PAID = Proof("query", "0", "The service request is processed successfully.")


def decisions(session, task) -> list[tuple]:
    rows = select(Decision.actor_id, Decision.action, Decision.reason)
    mine = rows.where(Decision.task_id == task.id).order_by(Decision.id)
    return [tuple(row) for row in session.execute(mine)]


def status_of(session, task) -> str:
    return session.get_one(Task, task.id, populate_existing=True).status


def told(session, user_id: int) -> list[str]:
    mine = select(Notification.kind).where(Notification.user_id == user_id)
    return list(session.scalars(mine.order_by(Notification.id)))


def register(session, receipt: str) -> tuple:
    row = session.get_one(MpesaReceipt, receipt, populate_existing=True)
    return row.state, row.payment_id, row.amount_cents


def is_decided(session, task, admin, action: str) -> bool:
    """Closed, by this admin, with this as the last word on it; the books add up."""
    assert status_of(session, task) == "done"
    assert decisions(session, task)[-1][:2] == (admin.user_id, action)
    return is_clean(session, LATER)
