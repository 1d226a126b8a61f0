"""Products as the office sees them: a seller's own, an admin's all, with whose they are."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from app.errors import PreconditionFailed
from app.models import Product, User
from app.policies import Actor
from app.services.categories import categories_within
from app.services.change_product import ProductChange, change_product
from app.services.find_product import find_own_product, products_for_sale
from app.services.pages import Page, PageRequest, SortKey, paginate


class StockFilter(StrEnum):
    """LOW counts in what is sold out, as the list of what waits for a seller does."""

    LOW = "low"
    SOLD_OUT = "sold_out"


@dataclass(frozen=True, slots=True)
class ShopProductFilter:
    """Which products are wanted; what is None does not matter. ``words`` all stand in its name or
    its SKU.
    """

    words: Sequence[str] = ()
    category: str | None = None
    stock: StockFilter | None = None
    seller_id: int | None = None


class ShopProduct(NamedTuple):
    product: Product
    seller_name: str

    @property
    def runs_low(self) -> bool:
        return self.product.available <= (self.product.low_stock_threshold or 0)


@dataclass(frozen=True, slots=True)
class ProductText:
    """What a person writes of a product; ``category`` is a slug."""

    name: str
    price_cents: int
    description: str
    category: str | None
    sku: str | None
    low_stock_threshold: int | None


def list_shop_products(
    session: Session, actor: Actor, wanted: ShopProductFilter, page: PageRequest
) -> Page[ShopProduct]:
    """Newest first."""
    statement = products_for_sale().add_columns(User.username).join(User)
    seller_id = wanted.seller_id if actor.is_admin else actor.user_id
    if seller_id is not None:
        statement = statement.where(Product.seller_id == seller_id)
    for word in wanted.words:
        statement = statement.where(_mentions(word))
    if wanted.category is not None:
        within = select(categories_within(wanted.category).c.id)
        statement = statement.where(Product.category_id.in_(within))
    if wanted.stock is not None:
        left = Product.on_hand - Product.reserved
        most = func.coalesce(Product.low_stock_threshold, 0)
        statement = statement.where(left <= (most if wanted.stock is StockFilter.LOW else 0))
    found = paginate(session, statement, [SortKey(Product.id, descending=True)], page)
    return Page([ShopProduct(*row) for row in found.rows], found.next_cursor)


def find_shop_product(session: Session, actor: Actor, product_id: int) -> ShopProduct:
    """Raises NotFound, or Forbidden as find_own_product does."""
    product = find_own_product(session, actor, product_id)
    name = session.scalars(select(User.username).where(User.id == product.seller_id)).one()
    return ShopProduct(product, name)


def change_text(
    session: Session,
    actor: Actor,
    product_id: int,
    text: ProductText,
    seen_mark: str,
    now: datetime,
) -> Product:
    """Write all that a form holds, unless somebody changed it since the form was shown.

    ``seen_mark`` is text_mark() of what was shown. Sales move the product's version, and are no
    reason to refuse a seller their words. Raises PreconditionFailed, and what change_product does.
    """
    product = find_own_product(session, actor, product_id)
    if text_mark(product) != seen_mark:
        raise PreconditionFailed("Somebody changed this product since you opened it.")
    change = ProductChange(**{field.name: getattr(text, field.name) for field in fields(text)})
    versions = {product.version}
    return change_product(session, actor, product_id, change, now, expected_versions=versions)


def text_mark(product: Product) -> str:
    """Differs when what a person wrote of the product does; never for its stock or picture."""
    written = [
        product.name,
        product.price_cents,
        product.description,
        product.category_id,
        product.sku,
        product.low_stock_threshold,
    ]
    return hashlib.sha256(json.dumps(written).encode()).hexdigest()[:16]


def _mentions(word: str) -> ColumnElement[bool]:
    return or_(
        Product.name.icontains(word, autoescape=True), Product.sku.icontains(word, autoescape=True)
    )
