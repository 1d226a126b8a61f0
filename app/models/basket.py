"""What somebody means to buy, before it is an order. Nothing is promised to a basket."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import (
    MAX_COUNT,
    Base,
    BigId,
    Cents,
    Id,
    Quantity,
    When,
    refers_to,
    table,
    whole,
)

MAX_BASKET_QUANTITY = 1000


class Basket(Base):
    """The basket of a user, or of a guest, whom a random token names; only its hash is kept.

    ``version`` grows with every change of what lies in it. ``ordered_version`` is the one that
    became ``last_order_id``: a form that was made for it, sent once more, leads to that order.
    """

    __tablename__ = "baskets"
    __table_args__ = table(
        CheckConstraint("(user_id IS NULL) <> (token_hash IS NULL)", name="one_owner"),
        CheckConstraint(
            "(ordered_version IS NULL) = (last_order_id IS NULL)", name="order_has_its_version"
        ),
        whole("version", 1, MAX_COUNT),
        whole("ordered_version", 1, MAX_COUNT),
        Index("ix_baskets_updated_at", "updated_at"),
    )

    id: Mapped[Id]
    user_id: Mapped[int | None] = refers_to("users.id", unique=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    version: Mapped[Quantity] = mapped_column(default=1)
    ordered_version: Mapped[Quantity | None]
    last_order_id: Mapped[int | None] = refers_to("orders.id")
    created_at: Mapped[When]
    updated_at: Mapped[When]


class BasketLine(Base):
    """``price_cents`` is what the product cost when it was last put in: to tell of a change, not
    to be charged.
    """

    __tablename__ = "basket_lines"
    __table_args__ = table(
        whole("quantity", 1, MAX_BASKET_QUANTITY),
        whole("price_cents", 0),
        UniqueConstraint("basket_id", "product_id"),
        Index("ix_basket_lines_product_id", "product_id"),
    )

    id: Mapped[Id]
    basket_id: Mapped[int] = mapped_column(BigId, ForeignKey("baskets.id", ondelete="CASCADE"))
    product_id: Mapped[int] = refers_to("products.id")
    quantity: Mapped[Quantity]
    price_cents: Mapped[Cents]
    created_at: Mapped[When]
