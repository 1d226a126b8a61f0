"""Claims as their buyers and admins see them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Order, PaymentClaim
from app.policies import Actor, orders_whose_money_is_shown
from app.services.pages import Page, PageRequest, SortKey, paginate

_SHOWN = 5


def list_claims(
    session: Session, actor: Actor, order_id: int, page: PageRequest
) -> Page[PaymentClaim]:
    """An order's claims, newest first, for its buyer and for admins. Raises NotFound."""
    mine = select(Order.id).where(Order.id == order_id, orders_whose_money_is_shown(actor))
    if session.scalar(mine) is None:
        raise NotFound("There is no such order.", code="order_not_found")
    statement = select(PaymentClaim).where(PaymentClaim.order_id == order_id)
    return paginate(session, statement, [SortKey(PaymentClaim.id, descending=True)], page)


def claims_of(session: Session, order_id: int) -> Sequence[PaymentClaim]:
    """The latest claims on an order, newest first."""
    return session.scalars(
        select(PaymentClaim)
        .where(PaymentClaim.order_id == order_id)
        .order_by(PaymentClaim.id.desc())
        .limit(_SHOWN)
        .execution_options(populate_existing=True)
    ).all()
