"""What lies in a basket, at today's prices, with what has changed since it was put in."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Basket, BasketLine, Product
from app.services.basket.owners import BasketOwner


@dataclass(frozen=True, slots=True)
class BasketLineView:
    """One product of a basket as it stands today. It never vanishes by itself: what cannot be had
    any more says so until somebody takes it out.
    """

    product: Product
    quantity: int
    price_cents_before: int

    @property
    def is_gone(self) -> bool:
        return self.product.deleted_at is not None

    @property
    def left(self) -> int:
        return 0 if self.is_gone else self.product.available

    @property
    def is_short(self) -> bool:
        return not self.is_gone and self.left < self.quantity

    @property
    def can_be_had(self) -> bool:
        return self.left >= self.quantity

    @property
    def price_changed(self) -> bool:
        return not self.is_gone and self.product.price_cents != self.price_cents_before

    @property
    def total_cents(self) -> int:
        return 0 if self.is_gone else self.quantity * self.product.price_cents


@dataclass(frozen=True, slots=True)
class BasketView:
    """``version`` is what a checkout form carries; it is 0 where there is no basket yet."""

    version: int
    lines: tuple[BasketLineView, ...]

    @property
    def total_cents(self) -> int:
        return sum(line.total_cents for line in self.lines)

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.lines)

    @property
    def can_be_ordered(self) -> bool:
        return bool(self.lines) and all(line.can_be_had for line in self.lines)


EMPTY = BasketView(0, ())


def look_into_basket(session: Session, owner: BasketOwner | None) -> BasketView:
    """Whoever has no basket has an empty one."""
    if owner is None:
        return EMPTY
    version = session.scalar(select(Basket.version).where(owner.condition))
    if version is None:
        return EMPTY
    rows = session.execute(
        select(BasketLine, Product)
        .join(Basket, Basket.id == BasketLine.basket_id)
        .join(Product, Product.id == BasketLine.product_id)
        .where(owner.condition)
        .order_by(BasketLine.id)
        .execution_options(populate_existing=True)
    )
    return BasketView(
        version,
        tuple(BasketLineView(product, line.quantity, line.price_cents) for line, product in rows),
    )


def count_units(session: Session, owner: BasketOwner) -> int:
    """How many things lie in the basket, in one statement."""
    return (
        session.scalar(
            select(func.sum(BasketLine.quantity))
            .join(Basket, Basket.id == BasketLine.basket_id)
            .where(owner.condition)
        )
        or 0
    )
