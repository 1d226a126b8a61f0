"""Letting go of orders whose time is up.

The sweep finds them: a bell for each order, to be rung when its time is up, would be a second
writing for each, and be heard a few seconds earlier by the few that nobody pays.
"""

from sqlalchemy import exists, select

from app.jobs.work import Work
from app.models import LIVE_STATES, Order, OrderStatus, Payment
from app.services import end_order

BATCH = 200


def expire_order(work: Work, order_id: int) -> None:
    """Expire one order, if it is to be."""
    with work.database.transaction() as session:
        end_order.expire_order(session, order_id, work.now())


def expire_due_orders(work: Work) -> bool:
    """Expire a batch of the orders that are to be, each in a transaction of its own; True where
    there may be more.
    """
    prompt_is_out = exists().where(Payment.order_id == Order.id, Payment.status.in_(LIVE_STATES))
    with work.database.reading() as session:
        due = session.scalars(
            select(Order.id)
            .where(
                Order.status == OrderStatus.PENDING,
                Order.expires_at <= work.now(),
                ~prompt_is_out,
            )
            .order_by(Order.expires_at)
            .limit(BATCH)
        ).all()
    for order_id in due:
        expire_order(work, order_id)
    return len(due) == BATCH
