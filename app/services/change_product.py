"""A change of a product by its seller: the named fields, and no others."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.models import Category, Product
from app.policies import Actor
from app.services.categories import category_for_product
from app.services.create_product import flush_product
from app.services.find_product import find_own_product, lock_own_products, lock_product
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
    _write(session, actor, [_Step(product, change, category)], now)
    return product


def change_products(
    session: Session, actor: Actor, changes: Mapping[int, ProductChange], now: datetime
) -> None:
    """What change_product does, for many by their ids in a few statements; if one is refused, all
    are. Raises NotFound, Forbidden, InvalidInput, Conflict ``sku_taken``.
    """
    wanted = {change.category for change in changes.values()}
    categories = {
        reference: category_for_product(session, reference)
        for reference in wanted
        if isinstance(reference, str | int)
    }
    steps = []
    for product in lock_own_products(session, actor, changes):
        change = changes[product.id]
        named = change.category
        category = categories[named] if isinstance(named, str | int) else named
        steps.append(_Step(product, change, category))
    _write(session, actor, steps, now)


@dataclass(frozen=True, slots=True)
class _Step:
    """A locked product, and what it is to become."""

    product: Product
    change: ProductChange
    category: Category | Unset | None


def _write(session: Session, actor: Actor, steps: Sequence[_Step], now: datetime) -> None:
    changed = []
    other_image = []
    for step in steps:
        product = step.product
        image_url = product.image_url
        if _take(session, actor, step, now):
            product.version += 1
            product.updated_at = now
            changed.append(product)
        if product.image_url != image_url:
            other_image.append(product.id)
    flush_product(session, *changed)
    # After the flush: a query before it would write the products out, and meet a taken SKU there.
    for product_id in other_image:
        retire_product_image(session, product_id, now)


def _take(session: Session, actor: Actor, step: _Step, now: datetime) -> bool:
    """Whether anything changed."""
    product, change = step.product, step.change
    changed = _set_plain_fields(product, change)
    if step.category is not UNSET and product.category is not step.category:
        product.category = step.category
        changed = True
    if change.stock is not UNSET:
        changed |= set_available(session, actor, product, change.stock, now)
    return changed


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
