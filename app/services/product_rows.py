"""Products as rows of what everybody sees of them: what is read most is read by the shortest way.

No objects of the mapper are made, and nothing is loaded that is not shown.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.models import Category, Product
from app.services.find_product import BIGGEST_ID, no_such_product


class ProductRow(NamedTuple):
    """A product at one moment. ``category`` is its slug."""

    id: int
    name: str
    price_cents: int
    description: str
    available: int
    category: str | None
    image_url: str | None
    rating_sum: int
    rating_count: int
    seller_id: int
    sku: str | None
    created_at: datetime
    updated_at: datetime
    version: int


def rows_for_sale() -> Select[*tuple[Any, ...]]:
    """A ProductRow's columns, of every product that is not deleted."""
    return (
        select(
            Product.id,
            Product.name,
            Product.price_cents,
            Product.description,
            Product.on_hand - Product.reserved,
            Category.slug,
            Product.image_url,
            Product.rating_sum,
            Product.rating_count,
            Product.seller_id,
            Product.sku,
            Product.created_at,
            Product.updated_at,
            Product.version,
        )
        .select_from(Product)
        .outerjoin(Category, Category.id == Product.category_id)
        .where(Product.deleted_at.is_(None))
    )


def find_product_row(session: Session, product_id: int) -> ProductRow:
    """Raises NotFound."""
    if product_id > BIGGEST_ID:
        raise no_such_product()
    row = session.execute(rows_for_sale().where(Product.id == product_id)).one_or_none()
    if row is None:
        raise no_such_product()
    return ProductRow(*row)
