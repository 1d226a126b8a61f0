"""Orders as people see them: scoped to who asks, with what the ledger says of their money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, selectinload

from app.errors import NotFound
from app.models import (
    LIVE_STATES,
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    Order,
    OrderStatus,
    Payment,
    PaymentStatus,
)
from app.policies import Actor, may_contact_buyer, visible_orders
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.refund_shares import SOLD
from app.utils.money import CENTS_PER_SHILLING, whole_shillings

_NOTHING = (0, 0)


@dataclass(frozen=True, slots=True)
class OrderMoney:
    """What the ledger says of one order, in cents; ``prompt_is_out`` while an attempt lives.

    ``paid_cents`` is what we hold of it: what came in less ``refunded_cents``, which went back.
    """

    paid_cents: int = 0
    refunds_due_cents: int = 0
    refunded_cents: int = 0
    prompt_is_out: bool = False

    @property
    def received_cents(self) -> int:
        """All that ever came in."""
        return self.paid_cents + self.refunded_cents


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order and its money, read together. ``shows_buyer``: where to find the buyer as well."""

    order: Order
    money: OrderMoney
    shows_buyer: bool = True

    @property
    def phone_number(self) -> str | None:
        return self.order.phone_number if self.shows_buyer else None

    @property
    def delivery_address(self) -> str | None:
        return self.order.delivery_address if self.shows_buyer else None

    @property
    def note(self) -> str | None:
        return self.order.note if self.shows_buyer else None

    @property
    def amount_due_cents(self) -> int:
        """What a phone would be asked for now: rounded up, as M-Pesa moves whole shillings."""
        if self.order.status != OrderStatus.PENDING:
            return 0
        return due_shillings(self.order, self.money) * CENTS_PER_SHILLING

    @property
    def payment_status(self) -> PaymentStatus:
        """A sale stays paid when a part of its money goes back; what bought nothing is refunded."""
        if self.order.status == OrderStatus.REFUNDED:
            return PaymentStatus.REFUNDED
        if self.money.refunds_due_cents > 0:
            return PaymentStatus.REFUND_DUE
        if self.order.status in SOLD or self.money.paid_cents >= self.order.total_cents:
            return PaymentStatus.PAID
        if self.money.refunded_cents > 0 and self.money.paid_cents == 0:
            return PaymentStatus.REFUNDED
        return PaymentStatus.PENDING if self.money.prompt_is_out else PaymentStatus.UNPAID


@dataclass(frozen=True, slots=True)
class OrderFilter:
    status: OrderStatus | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def due_shillings(order: Order, money: OrderMoney) -> int:
    return whole_shillings(max(0, order.total_cents - money.paid_cents))


def find_order(session: Session, actor: Actor, order_id: int) -> OrderView:
    """Raises NotFound if the order is missing or not for this actor to see."""
    order = session.scalar(
        select(Order)
        .where(Order.id == order_id, visible_orders(actor))
        .options(selectinload(Order.lines))
        .execution_options(populate_existing=True)
    )
    if order is None:
        raise NotFound("There is no such order.", code="order_not_found")
    money = money_of(session, [order.id])[order.id]
    return OrderView(order, money, shows_buyer=_knows_buyer(actor, order))


def view_placed(order: Order) -> OrderView:
    """An order that its buyer has just placed, with its lines: nobody can have paid for it yet."""
    return OrderView(order, OrderMoney())


def list_orders(
    session: Session, actor: Actor, wanted: OrderFilter, page: PageRequest
) -> Page[OrderView]:
    """Newest first."""
    statement = select(Order).where(visible_orders(actor)).options(selectinload(Order.lines))
    if wanted.status is not None:
        statement = statement.where(Order.status == wanted.status)
    if wanted.created_after is not None:
        statement = statement.where(Order.created_at > wanted.created_after)
    if wanted.created_before is not None:
        statement = statement.where(Order.created_at < wanted.created_before)
    found = paginate(session, statement, [SortKey(Order.id, descending=True)], page)
    money = money_of(session, [order.id for order in found.rows])
    return Page(
        [
            OrderView(order, money[order.id], shows_buyer=_knows_buyer(actor, order))
            for order in found.rows
        ],
        next_cursor=found.next_cursor,
        total=found.total,
    )


def _knows_buyer(actor: Actor, order: Order) -> bool:
    return order.user_id == actor.user_id or may_contact_buyer(actor, order)


def money_of(session: Session, order_ids: Sequence[int]) -> dict[int, OrderMoney]:
    """The ledger's word on each of these orders, in two statements."""
    given_back = case(
        (LedgerEvent.kind == LedgerEventKind.REFUND, LedgerEntry.amount_cents), else_=0
    )
    sums = {
        (row.order_id, row.account): (int(row.cents), -int(row.given_back))
        for row in session.execute(
            select(
                LedgerEntry.order_id,
                LedgerEntry.account,
                func.sum(LedgerEntry.amount_cents).label("cents"),
                func.sum(given_back).label("given_back"),
            )
            .join(LedgerEvent, LedgerEvent.id == LedgerEntry.event_id)
            .where(
                LedgerEntry.order_id.in_(order_ids),
                LedgerEntry.account.in_([Account.MPESA, Account.REFUNDS_DUE]),
            )
            .group_by(LedgerEntry.order_id, LedgerEntry.account)
        )
    }
    live = set(
        session.scalars(
            select(Payment.order_id).where(
                Payment.order_id.in_(order_ids), Payment.status.in_(LIVE_STATES)
            )
        )
    )
    return {
        order_id: OrderMoney(
            paid_cents=sums.get((order_id, Account.MPESA), _NOTHING)[0],
            refunds_due_cents=-sums.get((order_id, Account.REFUNDS_DUE), _NOTHING)[0],
            refunded_cents=sums.get((order_id, Account.MPESA), _NOTHING)[1],
            prompt_is_out=order_id in live,
        )
        for order_id in order_ids
    }
