"""What money that was counted does to its order: pay it, pay a part of it, or wait to go back.

The caller holds the order's lock, and has put the payment on record as ``succeeded``.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    Account,
    Order,
    OrderStatus,
    Payment,
    Refund,
    Task,
    TaskKind,
)
from app.services.ledger import (
    balances_of,
    book_payment,
    book_reclaim,
    book_sale,
    book_set_aside,
)
from app.services.move_order import move_order
from app.services.records import Matter, file_task, notify, solve_tasks, tell_sellers
from app.services.sell_stock import sell_again, sell_held_stock
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire, whole_shillings
from app.utils.phone import mask_msisdn

PART_PAID_GRACE = timedelta(hours=1)
"""So long an order waits, at least, for the rest of its money."""


def use_money(session: Session, order: Order, payment: Payment, now: datetime) -> None:
    """Pay the order if it can still be had; else keep the money for a refund and tell a person."""
    if order.status == OrderStatus.PENDING:
        book_payment(session, payment, Account.CUSTOMER, now)
        buy_if_covered(session, order, payment, now)
    elif order.status == OrderStatus.EXPIRED and _revive(session, order, payment, now):
        pass
    else:
        book_payment(session, payment, Account.REFUNDS_DUE, now)
        _owe_refund(session, order, payment, now)


def buy_if_covered(session: Session, order: Order, payment: Payment, now: datetime) -> None:
    """Buy a pending order with what is booked for its goods, or wait for the rest."""
    paid_cents = -balances_of(session, order.id)[Account.CUSTOMER]
    if paid_cents >= order.total_cents:
        sell_held_stock(session, order.id, now)
        _complete_order(session, order, payment, paid_cents, now)
    else:
        _wait_for_the_rest(session, order, payment, paid_cents, now)


def set_money_aside(session: Session, order: Order, now: datetime) -> None:
    """The order has just ended unpaid: what came for it so far is owed back, and a person told."""
    held_cents = -balances_of(session, order.id)[Account.CUSTOMER]
    if held_cents <= 0:
        return
    book_set_aside(session, order, held_cents, now)
    amount = f"KES {cents_to_wire(held_cents)}"
    file_task(
        session,
        Matter(
            kind=TaskKind.LATE_MONEY,
            title=f"Refund {amount} for order {order.number}",
            description=f"{amount} of KES {cents_to_wire(order.total_cents)} had come for order"
            f" {order.number} when it was {order.status}. The money is in the books as a refund"
            " due. If the rest comes while the goods are there, the order is paid after all.",
            dedupe_key=f"set_aside:{order.id}",
        ),
        now,
        order_id=order.id,
    )
    notify(
        session,
        order.user_id,
        "refund_due",
        title=f"We owe you {amount}",
        body=f"Order {order.number} is {order.status}, and you had paid a part of it."
        " We have kept it safe and will send it back.",
        now=now,
        order_id=order.id,
    )


def _revive(session: Session, order: Order, payment: Payment, now: datetime) -> bool:
    """Late money, with what came before it: does it buy the order, and are its goods there?"""
    lacking_cents = find_rest(session, order, payment.amount_cents)
    if lacking_cents is None or not sell_again(session, order.id, now):
        return False
    book_payment(session, payment, Account.CUSTOMER, now)
    paid_cents = payment.amount_cents
    if lacking_cents > 0:
        book_reclaim(session, order, lacking_cents, now)
        paid_cents += lacking_cents
    reason = "late payment, stock still there"
    _complete_order(session, order, payment, paid_cents, now, reason=reason)
    solve_settled_debts(session, order, "reclaimed", "The rest came, and the order is paid.", now)
    return True


def find_rest(session: Session, order: Order, amount_cents: int) -> int | None:
    """What an expired order needs, beside this amount, of the money that was set aside for it.

    In cents; None where both together do not buy it. What is on its way back to the customer buys
    nothing any more.
    """
    lacking_cents = order.total_cents - amount_cents
    if lacking_cents <= 0:
        return 0
    rest_cents = min(due_back(session, order), whole_shillings(lacking_cents) * CENTS_PER_SHILLING)
    return rest_cents if rest_cents >= lacking_cents else None


def due_back(session: Session, order: Order) -> int:
    """Cents that we owe on this order and that no refund is taking back already."""
    going = session.scalar(
        select(func.coalesce(func.sum(Refund.amount_cents), 0)).where(
            Refund.order_id == order.id, Refund.state.in_(LIVE_REFUNDS)
        )
    )
    return max(0, -balances_of(session, order.id)[Account.REFUNDS_DUE] - int(going or 0))


def _complete_order(
    session: Session,
    order: Order,
    payment: Payment,
    paid_cents: int,
    now: datetime,
    *,
    reason: str | None = None,
) -> None:
    """What was paid buys the goods; what is beyond the price is owed back."""
    excess_cents = book_sale(session, order, paid_cents, now)
    move_order(session, order, OrderStatus.PAID, now, reason=reason)
    notify(
        session,
        order.user_id,
        "order_paid",
        title=f"Order {order.number} is paid",
        body=f"We received KES {cents_to_wire(payment.amount_cents)}. Thank you.",
        now=now,
        order_id=order.id,
    )
    tell_sellers(session, order, now)
    if excess_cents:
        _owe_excess(session, order, payment, excess_cents, now)


def _wait_for_the_rest(
    session: Session, order: Order, payment: Payment, paid_cents: int, now: datetime
) -> None:
    order.expires_at = max(order.expires_at, now + PART_PAID_GRACE)
    order.updated_at = now
    left = whole_shillings(order.total_cents - paid_cents)
    notify(
        session,
        order.user_id,
        "part_paid",
        title=f"Order {order.number}: KES {left} to go",
        body=f"We received KES {cents_to_wire(payment.amount_cents)}. Pay the rest to get the"
        " order; it is kept for you meanwhile.",
        now=now,
        order_id=order.id,
    )
    session.flush()


def _owe_excess(
    session: Session, order: Order, payment: Payment, excess_cents: int, now: datetime
) -> None:
    amount = f"KES {cents_to_wire(excess_cents)}"
    file_task(
        session,
        Matter(
            kind=TaskKind.OVER_PAYMENT,
            title=f"Refund {amount} that was paid beyond order {order.number}",
            description=f"The order came to KES {cents_to_wire(order.total_cents)}; with"
            f" KES {cents_to_wire(payment.amount_cents)} (receipt"
            f" {payment.mpesa_receipt or 'not known yet'}) there is {amount} too much. The order"
            " is paid, and the rest is in the books as a refund due.",
            dedupe_key=f"{TaskKind.OVER_PAYMENT}:{payment.id}",
        ),
        now,
        payment=payment,
    )
    notify(
        session,
        order.user_id,
        "refund_due",
        title=f"We owe you {amount}",
        body=f"You paid more than order {order.number} costs. We will send the rest back.",
        now=now,
        order_id=order.id,
    )


def _owe_refund(session: Session, order: Order, payment: Payment, now: datetime) -> None:
    amount = f"KES {cents_to_wire(payment.amount_cents)}"
    unpaid = order.status in (OrderStatus.CANCELLED, OrderStatus.EXPIRED)
    kind = TaskKind.LATE_MONEY if unpaid else TaskKind.DOUBLE_PAYMENT
    file_task(
        session,
        Matter(
            kind=kind,
            title=f"Refund {amount} for order {order.number}",
            description=f"Order {order.number} was {order.status} when {amount} came from"
            f" {mask_msisdn(payment.msisdn)} (receipt {payment.mpesa_receipt or 'not known yet'})."
            " The money is in the books as a refund due; the order is unchanged.",
            dedupe_key=f"{kind}:{payment.id}",
        ),
        now,
        payment=payment,
    )
    notify(
        session,
        order.user_id,
        "refund_due",
        title=f"We owe you {amount}",
        body=f"Your payment arrived when order {order.number} was already {order.status}."
        " We have kept it safe and will send it back.",
        now=now,
        order_id=order.id,
    )


DEBT_TASKS = (TaskKind.LATE_MONEY, TaskKind.DOUBLE_PAYMENT, TaskKind.OVER_PAYMENT)
"""The tasks that tell a person of an order's money which is to go back."""


def solve_settled_debts(
    session: Session,
    order: Order,
    action: str,
    reason: str,
    now: datetime,
    *,
    actor_id: int | None = None,
) -> None:
    """Once nothing is owed on the order any more, its tasks about that are done."""
    if balances_of(session, order.id)[Account.REFUNDS_DUE] == 0:
        mine = (Task.order_id == order.id) & Task.kind.in_(DEBT_TASKS)
        solve_tasks(session, mine, action, reason, now, actor_id=actor_id)
