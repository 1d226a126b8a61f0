"""A change of a product by its seller: the named fields, and no others."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.models import Category, Product
from app.policies import Actor
from app.services.categories import category_for_product
from app.services.create_product import flush_product
from app.services.find_product import find_own_product, lock_product
from app.services.pictures import retire_product_image
from app.services.stock_counts import set_available
from app.utils.unset import UNSET, Unset

_PLAIN_FIELDS = (
    "name",
    "price_cents",
    "description",
    "image_url",
    "sku",
    "low_stock_threshold",
)


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What is UNSET stays as it is. ``stock`` is what can be bought from now on."""

    name: str | Unset = UNSET
    price_cents: int | Unset = UNSET
    description: str | Unset = UNSET
    stock: int | Unset = UNSET
    category: str | int | Unset | None = UNSET
    image_url: str | Unset | None = UNSET
    sku: str | Unset | None = UNSET
    low_stock_threshold: int | Unset | None = UNSET


def change_product(
    session: Session,
    actor: Actor,
    product_id: int,
    change: ProductChange,
    now: datetime,
    *,
    expected_versions: Container[int] | None = None,
) -> Product:
    """Change the named fields; a change that changes nothing leaves the version as it is.

    Raises NotFound, Forbidden, PreconditionFailed when the product is at none of
    ``expected_versions``, InvalidInput, Conflict ``sku_taken``. What orders hold is not touched.
    """
    find_own_product(session, actor, product_id)
    category = _category_of(session, change)
    product = lock_product(session, product_id, expected_versions)
    image_url = product.image_url
    changed = _set_plain_fields(product, change)
    if product.image_url != image_url:
        retire_product_image(session, product.id, now)
    if category is not UNSET and product.category is not category:
        product.category = category
        changed = True
    if change.stock is not UNSET:
        changed |= set_available(session, actor, product, change.stock, now)
    if changed:
        product.version += 1
        product.updated_at = now
        flush_product(session, product)
    return product


def _category_of(session: Session, change: ProductChange) -> Category | Unset | None:
    if change.category is None or change.category is UNSET:
        return change.category
    return category_for_product(session, change.category)


def _set_plain_fields(product: Product, change: ProductChange) -> bool:
    changed = False
    for name in _PLAIN_FIELDS:
        value = getattr(change, name)
        if value is not UNSET and value != getattr(product, name):
            setattr(product, name, value)
            changed = True
    return changed
