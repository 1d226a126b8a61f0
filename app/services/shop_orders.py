"""Orders as the office sees them: a seller's own lines of those they sell in, an admin's all.

What somebody bought themselves is not here but among their own orders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from app.errors import Forbidden, NotFound
from app.models import (
    Order,
    OrderEvent,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    Task,
    User,
)
from app.policies import Actor, fulfillable_orders, may_contact_buyer
from app.services.move_order import ALLOWED_MOVES, is_disputed
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.read_orders import OrderMoney, OrderView, money_of
from app.services.refund_shares import is_sale_going_back
from app.services.refunds import RefundStanding, refunds_of_order
from app.utils.phone import mask_msisdn


@dataclass(frozen=True, slots=True)
class ShopOrderFilter:
    """Which orders are wanted; what is None does not matter. By its buyer only an admin asks."""

    status: OrderStatus | None = None
    number: str | None = None
    buyer_phone: str | None = None
    buyer_email_key: str | None = None
    placed_from: datetime | None = None
    placed_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who bought, as far as it is shown; a phone that is not is masked, the rest left out."""

    user_id: int
    name: str
    phone: str = ""
    phone_is_masked: bool = False
    email: str = ""
    address: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """An order with the lines that are shown, and what those add up to."""

    order: Order
    lines: Sequence[OrderLine]
    buyer: Buyer
    payment_status: PaymentStatus

    @property
    def cents(self) -> int:
        return sum(line.line_total_cents for line in self.lines)

    @property
    def pieces(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def has_other_lines(self) -> bool:
        """Other sellers' goods travel in it as well; what they are is not said."""
        return len(self.lines) < len(self.order.lines)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an order's life; ``actor_name`` is empty where the shop itself took it."""

    event: OrderEvent
    actor_name: str


@dataclass(frozen=True, slots=True)
class OrderFile:
    """All that the office knows of one order; payments, refunds and tasks are for an admin.

    ``going_back``: the money of the whole sale may be on its way back, so nothing is to be sent.
    """

    shown: ShopOrder
    money: OrderMoney
    steps: Sequence[Step]
    disputed: bool
    going_back: bool
    next_step: OrderStatus | None
    may_cancel: bool
    payments: Sequence[Payment] = field(default=())
    refunds: Sequence[Refund] = field(default=())
    tasks: Sequence[Task] = field(default=())

    @property
    def standings(self) -> list[RefundStanding]:
        """How much of each payment may still go back."""
        return [
            RefundStanding(
                payment,
                [refund for refund in self.refunds if refund.receipt == payment.mpesa_receipt],
            )
            for payment in self.payments
        ]


def list_shop_orders(
    session: Session, actor: Actor, wanted: ShopOrderFilter, page: PageRequest
) -> Page[ShopOrder]:
    """Newest first. Raises Forbidden for a seller who asks by the buyer."""
    found = paginate(session, _matching(actor, wanted), [SortKey(Order.id, descending=True)], page)
    money = money_of(session, [order.id for order, _ in found.rows])
    return Page(
        [_shown(actor, order, buyer, money[order.id]) for order, buyer in found.rows],
        next_cursor=found.next_cursor,
    )


def find_shop_order(session: Session, actor: Actor, order_id: int) -> OrderFile:
    """Raises NotFound for an order that is missing or in which the actor sells nothing."""
    row = session.execute(
        _orders_of(actor).where(Order.id == order_id).execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such order.", code="order_not_found")
    order, buyer = row
    money = money_of(session, [order.id])[order.id]
    may_move = ALLOWED_MOVES[OrderStatus(order.status)] & {
        OrderStatus.SHIPPED,
        OrderStatus.DELIVERED,
    }
    return OrderFile(
        shown=_shown(actor, order, buyer, money),
        money=money,
        steps=_steps(session, actor, order),
        disputed=is_disputed(session, order.id),
        going_back=is_sale_going_back(session, order),
        next_step=next(iter(may_move), None),
        may_cancel=actor.is_admin and order.status == OrderStatus.PENDING,
        payments=_payments(session, order) if actor.is_admin else (),
        refunds=refunds_of_order(session, order.id) if actor.is_admin else (),
        tasks=_tasks(session, order) if actor.is_admin else (),
    )


def _orders_of(actor: Actor) -> Select[*tuple[Order, User]]:
    return (
        select(Order, User)
        .join(User, User.id == Order.user_id)
        .where(fulfillable_orders(actor))
        .options(selectinload(Order.lines))
    )


def _matching(actor: Actor, wanted: ShopOrderFilter) -> Select[*tuple[Order, User]]:
    statement = _orders_of(actor)
    if wanted.status is not None:
        statement = statement.where(Order.status == wanted.status)
    if wanted.number is not None:
        statement = statement.where(Order.number == wanted.number)
    if wanted.placed_from is not None:
        statement = statement.where(Order.created_at >= wanted.placed_from)
    if wanted.placed_before is not None:
        statement = statement.where(Order.created_at < wanted.placed_before)
    if wanted.buyer_phone is None and wanted.buyer_email_key is None:
        return statement
    if not actor.is_admin:
        raise Forbidden("Only an admin looks for orders by their buyer.")
    if wanted.buyer_phone is not None:
        theirs = select(User.id).where(User.phone_number == wanted.buyer_phone)
        statement = statement.where(
            (Order.phone_number == wanted.buyer_phone) | Order.user_id.in_(theirs)
        )
    if wanted.buyer_email_key is not None:
        statement = statement.where(User.email_key == wanted.buyer_email_key)
    return statement


def _shown(actor: Actor, order: Order, buyer: User, money: OrderMoney) -> ShopOrder:
    own = [line for line in order.lines if actor.is_admin or line.seller_id == actor.user_id]
    return ShopOrder(
        order=order,
        lines=own,
        buyer=_buyer(actor, order, buyer),
        payment_status=OrderView(order, money).payment_status,
    )


def _buyer(actor: Actor, order: Order, user: User) -> Buyer:
    phone = order.phone_number or user.phone_number or ""
    if not may_contact_buyer(actor, order):
        masked = mask_msisdn(phone) if phone else ""
        return Buyer(user.id, user.username, masked, phone_is_masked=True)
    return Buyer(
        user.id,
        user.username,
        phone,
        email=user.email if actor.is_admin else "",
        address=order.delivery_address or "",
        note=order.note or "",
    )


def _steps(session: Session, actor: Actor, order: Order) -> list[Step]:
    """Oldest first. A seller is told of themselves and of the buyer; anybody else is the shop."""
    rows = session.execute(
        select(OrderEvent, User.username)
        .outerjoin(User, User.id == OrderEvent.actor_id)
        .where(OrderEvent.order_id == order.id)
        .order_by(OrderEvent.id)
    )
    known = {actor.user_id, order.user_id}
    return [
        Step(event, name if name and (actor.is_admin or event.actor_id in known) else "")
        for event, name in rows
    ]


def _payments(session: Session, order: Order) -> Sequence[Payment]:
    own = select(Payment).where(Payment.order_id == order.id)
    return session.scalars(own.order_by(Payment.id)).all()


def _tasks(session: Session, order: Order) -> Sequence[Task]:
    return session.scalars(select(Task).where(Task.order_id == order.id).order_by(Task.id)).all()
