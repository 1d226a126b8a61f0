"""A buyer's own orders, whatever else they may see: a seller's customers' orders are not theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app.errors import NotFound
from app.models import (
    LIVE_STATES,
    UNDECIDED_CLAIMS,
    Order,
    OrderEvent,
    OrderStatus,
    Payment,
    PaymentClaim,
    PaymentState,
    Refund,
    RefundState,
)
from app.policies import Actor, own_orders
from app.services.claims import claims_of
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.read_orders import OrderView, find_order, money_of
from app.services.refunds import refunds_of_order

_ATTEMPTS_SHOWN = 20
_BROUGHT_MONEY = (PaymentState.SUCCEEDED, PaymentState.REFUNDED)
_SHOWN_REFUNDS = (
    RefundState.CREATED,
    RefundState.PENDING,
    RefundState.UNKNOWN,
    RefundState.SUCCEEDED,
)


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order with what happened to it: when it took which step, each try to pay and each payment
    that its buyer named, the latest first, and what goes back or went, the first asked for first.
    """

    view: OrderView
    reached_at: dict[OrderStatus, datetime]
    attempts: Sequence[Payment]
    claims: Sequence[PaymentClaim] = ()
    refunds: Sequence[Refund] = ()

    @property
    def order(self) -> Order:
        return self.view.order

    @property
    def latest(self) -> Payment | None:
        """The try that tells how it stands: one that is out; on an order that waits no more, the
        one that brought money; else the last one.
        """
        waits = self.order.status == OrderStatus.PENDING
        out = [attempt for attempt in self.attempts if attempt.status in LIVE_STATES]
        telling = out if waits else self.paid_attempts
        return next(iter([*telling, *self.attempts]), None)

    @property
    def claim(self) -> PaymentClaim | None:
        """The payment that is being looked for."""
        return next((one for one in self.claims if one.state in UNDECIDED_CLAIMS), None)

    @property
    def prompt_is_out(self) -> bool:
        """Whether a phone may still show a prompt for it, however the order stands."""
        return self.view.money.prompt_is_out

    @property
    def money_attempts(self) -> list[Payment]:
        """Those that brought money, whatever became of it."""
        return [attempt for attempt in self.attempts if attempt.status in _BROUGHT_MONEY]

    @property
    def paid_attempts(self) -> list[Payment]:
        return [attempt for attempt in self.attempts if attempt.status == PaymentState.SUCCEEDED]


def find_own_order(session: Session, actor: Actor, order_id: int) -> OrderView:
    """Raises NotFound for an order that the actor did not place, even if they may see it."""
    view = find_order(session, actor, order_id)
    if view.order.user_id != actor.user_id:
        raise NotFound("There is no such order.", code="order_not_found")
    return view


def read_story(session: Session, actor: Actor, order_id: int) -> OrderStory:
    """Raises NotFound as find_own_order does."""
    view = find_own_order(session, actor, order_id)
    events = session.execute(
        select(OrderEvent.to_status, OrderEvent.created_at)
        .where(OrderEvent.order_id == order_id)
        .order_by(OrderEvent.id)
    )
    attempts = session.scalars(
        select(Payment)
        .where(Payment.order_id == order_id)
        .order_by(Payment.id.desc())
        .limit(_ATTEMPTS_SHOWN)
        .execution_options(populate_existing=True)
    ).all()
    reached_at = {OrderStatus(row.to_status): row.created_at for row in events}
    return OrderStory(
        view,
        reached_at,
        attempts,
        claims_of(session, order_id),
        _shown_refunds(session, order_id),
    )


def _shown_refunds(session: Session, order_id: int) -> list[Refund]:
    """What a buyer may count on: not what an admin still thinks about, and not what failed."""
    return [
        refund for refund in refunds_of_order(session, order_id) if refund.state in _SHOWN_REFUNDS
    ]


def list_own_orders(session: Session, actor: Actor, page: PageRequest) -> Page[OrderView]:
    """Newest first."""
    statement = select(Order).where(own_orders(actor)).options(selectinload(Order.lines))
    found = paginate(session, statement, [SortKey(Order.id, descending=True)], page)
    money = money_of(session, [order.id for order in found.rows])
    return Page(
        [OrderView(order, money[order.id]) for order in found.rows],
        next_cursor=found.next_cursor,
    )
