"""Whose basket it is, and holding it still while it changes.

Whoever changes a basket locks its row first, so that of two tabs one waits for the other. A
guest's basket is locked before a user's, and both before any product.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.models import Basket, BasketLine
from app.services.insert_once import insert_once

MAX_BASKET_LINES = 50


@dataclass(frozen=True, slots=True)
class BasketOwner:
    """A user, or a guest by the hash of the token that names the basket."""

    user_id: int | None = None
    token_hash: str | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.token_hash is None):
            raise ValueError("A basket belongs to a user or to a guest.")

    @property
    def condition(self) -> ColumnElement[bool]:
        """A condition on Basket."""
        if self.user_id is not None:
            return Basket.user_id == self.user_id
        return Basket.token_hash == self.token_hash


def find_locked_basket(session: Session, owner: BasketOwner) -> Basket | None:
    """The basket as it is now, locked until the transaction ends, if there is one."""
    return session.scalar(
        select(Basket)
        .where(owner.condition)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def lock_basket(session: Session, owner: BasketOwner, now: datetime) -> Basket:
    """As find_locked_basket; one that is missing is made."""
    key = "user_id" if owner.user_id is not None else "token_hash"
    while True:
        basket = find_locked_basket(session, owner)
        if basket is not None:
            return basket
        # Two tabs may be here at once: one makes it. It may be gone again when a sign-in took it.
        insert_once(
            session,
            Basket,
            key,
            {key: getattr(owner, key), "version": 1, "created_at": now, "updated_at": now},
        )


def lines_of(session: Session, basket: Basket) -> dict[int, BasketLine]:
    """What lies in a locked basket, by product, in the order in which it was put in."""
    lines = session.scalars(
        select(BasketLine)
        .where(BasketLine.basket_id == basket.id)
        .order_by(BasketLine.id)
        .execution_options(populate_existing=True)
    )
    return {line.product_id: line for line in lines}


def mark_changed(basket: Basket, now: datetime) -> None:
    """A form that was made for the basket as it was is good no more."""
    basket.version += 1
    basket.updated_at = now
