"""Why a product's counts are what they are."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Order, StockMovement, User
from app.policies import Actor
from app.services.adjust_stock import last_change_by_hand
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.shop_products import ShopProduct, find_shop_product


class Movement(NamedTuple):
    """``actor_name`` is empty where the shop itself moved it, or somebody a seller is not told
    of; ``order_number`` where no order did.
    """

    movement: StockMovement
    actor_name: str
    order_number: str


@dataclass(frozen=True, slots=True)
class StockFile:
    """``last_change_id`` is that of the newest change by hand, 0 before the first."""

    shown: ShopProduct
    last_change_id: int
    movements: Page[Movement]


def read_stock(session: Session, actor: Actor, product_id: int, page: PageRequest) -> StockFile:
    """Newest first. Raises NotFound, Forbidden, InvalidInput for a cursor of another list."""
    shown = find_shop_product(session, actor, product_id)
    statement = (
        select(StockMovement, User.username, Order.number)
        .outerjoin(User, User.id == StockMovement.actor_id)
        .outerjoin(Order, Order.id == StockMovement.order_id)
        .where(StockMovement.product_id == product_id)
    )
    keys = [SortKey(StockMovement.id, descending=True)]
    found = paginate(session, statement, keys, page)
    movements = [
        Movement(movement, _name(actor, movement, name), number or "")
        for movement, name, number in found.rows
    ]
    last = last_change_by_hand(session, product_id)
    return StockFile(shown, last, Page(movements, found.next_cursor))


def _name(actor: Actor, movement: StockMovement, name: str | None) -> str:
    known = actor.is_admin or movement.actor_id == actor.user_id
    return name if name and known else ""
