"""The catalogue. Items and products are two names of one thing: this table."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import (
    MAX_COUNT,
    Base,
    Cents,
    Id,
    Moment,
    Quantity,
    When,
    refers_to,
    table,
    whole,
)

MAX_STOCK = 1_000_000_000
_LOWER_NAME = text("lower(name)")


class Category(Base):
    __tablename__ = "categories"
    __table_args__ = table(
        CheckConstraint("parent_id <> id", name="not_its_own_parent"),
        whole("position", -MAX_COUNT, MAX_COUNT),
    )

    id: Mapped[Id]
    parent_id: Mapped[int | None] = refers_to("categories.id", index=True)
    name: Mapped[str] = mapped_column(String(80))
    slug: Mapped[str] = mapped_column(String(100), unique=True)
    position: Mapped[Quantity] = mapped_column(default=0)
    created_at: Mapped[When]
    updated_at: Mapped[When]


class Product(Base):
    """A thing for sale. ``on_hand`` lies on the shelf, ``reserved`` of it is promised to orders;
    what can be bought now is the difference.

    ``version`` grows with every change that a reader can see, stock included: the ETag is made of
    it. A deleted product keeps its row, because orders name it.

    ``rating_sum`` and ``rating_count`` sum up its comments: each user's latest rating, once.
    """

    __tablename__ = "products"
    __table_args__ = table(
        whole("price_cents", 0),
        whole("on_hand", 0, MAX_STOCK),
        whole("reserved", 0, MAX_STOCK),
        whole("low_stock_threshold", 0, MAX_STOCK),
        whole("version", 1, MAX_COUNT),
        whole("rating_sum", 0, MAX_COUNT),
        whole("rating_count", 0, MAX_COUNT),
        CheckConstraint("reserved <= on_hand", name="reserved_is_on_hand"),
        UniqueConstraint("seller_id", "sku"),
        # each list in each order, and nothing that a sale changes
        Index("ix_products_created_at_id", "created_at", "id"),
        Index("ix_products_price_cents_id", "price_cents", "id"),
        Index("ix_products_lower_name_id", _LOWER_NAME, "id"),
        Index("ix_products_category_id_created_at_id", "category_id", "created_at", "id"),
        Index("ix_products_category_id_price_cents_id", "category_id", "price_cents", "id"),
        Index("ix_products_category_id_lower_name_id", "category_id", _LOWER_NAME, "id"),
        Index("ix_products_seller_id_created_at_id", "seller_id", "created_at", "id"),
        Index("ix_products_seller_id_price_cents_id", "seller_id", "price_cents", "id"),
        Index("ix_products_seller_id_lower_name_id", "seller_id", _LOWER_NAME, "id"),
    )

    id: Mapped[Id]
    seller_id: Mapped[int] = refers_to("users.id")
    category_id: Mapped[int | None] = refers_to("categories.id")
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    price_cents: Mapped[Cents]
    sku: Mapped[str | None] = mapped_column(String(64))
    image_url: Mapped[str | None] = mapped_column(Text)
    on_hand: Mapped[Quantity] = mapped_column(default=0)
    reserved: Mapped[Quantity] = mapped_column(default=0)
    low_stock_threshold: Mapped[Quantity | None]
    version: Mapped[Quantity] = mapped_column(default=1)
    rating_sum: Mapped[Quantity] = mapped_column(default=0)
    rating_count: Mapped[Quantity] = mapped_column(default=0)
    created_at: Mapped[When]
    updated_at: Mapped[When]
    deleted_at: Mapped[datetime | None] = mapped_column(Moment)

    category: Mapped[Category | None] = relationship(lazy="raise")

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @property
    def rating_average(self) -> float | None:
        return average_rating(self.rating_sum, self.rating_count)


def average_rating(rating_sum: int, rating_count: int) -> float | None:
    """With one decimal, halves rounded up; None before the first rating."""
    if not rating_count:
        return None
    return (20 * rating_sum + rating_count) // (2 * rating_count) / 10
