"""What is on its way back to a customer, and which debts of an order it pays."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from app.models import LIVE_REFUNDS, Account, Order, OrderStatus, Refund, RefundState
from app.services.ledger import balances_of

SOLD = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED)


def refunded_cents_of(session: Session, receipt: str) -> int:
    """What has gone back of one receipt so far."""
    return _sum_of(session, (Refund.receipt == receipt) & (Refund.state == RefundState.SUCCEEDED))


def find_live_refund(session: Session, receipt: str) -> int | None:
    """The id of the refund that may still take this receipt's money back, if there is one."""
    return session.scalar(
        select(Refund.id).where(Refund.receipt == receipt, Refund.state.in_(LIVE_REFUNDS))
    )


def is_going_back(session: Session, receipt: str) -> bool:
    """Whether money without an order is on its way back: it belongs to no order meanwhile."""
    live = exists().where(Refund.receipt == receipt, Refund.state.in_(LIVE_REFUNDS))
    return bool(session.scalar(select(live)))


def is_sale_going_back(session: Session, order: Order) -> bool:
    """Whether what is on its way back undoes the whole sale, so that nothing is to be sent."""
    going = _sum_of(session, (Refund.order_id == order.id) & Refund.state.in_(LIVE_REFUNDS))
    return going > 0 and undoes_sale(session, order, going)


def undoes_sale(session: Session, order: Order, cents: int) -> bool:
    """Whether an order that was sold is paid back whole once this much more has gone back."""
    if order.status not in SOLD:
        return False
    balances = balances_of(session, order.id)
    taken = split_refund(cents, balances).get(Account.REFUNDS, 0)
    return balances[Account.REFUNDS] + taken >= order.total_cents


def split_refund(amount_cents: int, balances: Mapping[Account, int]) -> dict[Account, int]:
    """Which debts of an order a refund pays, in cents above zero.

    What is owed back is paid first, then what was paid for goods that were never sold, then the
    sale itself. Raises RuntimeError for more than the order ever brought in.
    """
    left, taken = amount_cents, {}
    for account, available in (
        (Account.REFUNDS_DUE, -balances[Account.REFUNDS_DUE]),
        (Account.CUSTOMER, -balances[Account.CUSTOMER]),
        (Account.REFUNDS, -balances[Account.SALES] - balances[Account.REFUNDS]),
        (Account.ROUNDING, -balances[Account.ROUNDING]),
    ):
        part = min(left, max(0, available))
        if part:
            taken[account] = part
            left -= part
    if left:
        raise RuntimeError(f"{left} cents of a refund of {amount_cents} were never received.")
    return taken


def _sum_of(session: Session, condition: ColumnElement[bool]) -> int:
    found = session.scalar(select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(condition))
    return int(found or 0)
