"""One product, to be read or to be changed. A deleted one is not there."""

from collections.abc import Collection, Container, Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, joinedload

from app.errors import Forbidden, NotFound, PreconditionFailed
from app.models import Product
from app.policies import Actor, may_edit_product

BIGGEST_ID = 2**63 - 1
"""What an id column holds; a bigger number in a query is an error of the database's own."""


def products_for_sale() -> Select[Product]:
    """Every product that is not deleted, its category with it in the same statement."""
    return (
        select(Product)
        .where(Product.deleted_at.is_(None))
        .options(joinedload(Product.category))
        .execution_options(populate_existing=True)
    )


def find_product(session: Session, product_id: int) -> Product:
    """Raises NotFound."""
    if product_id > BIGGEST_ID:
        raise no_such_product()
    product = session.scalar(products_for_sale().where(Product.id == product_id))
    if product is None:
        raise no_such_product()
    return product


def find_own_product(session: Session, actor: Actor, product_id: int) -> Product:
    """A product that the actor may change. Raises NotFound, or Forbidden: the product is public,
    so that there is nothing to hide from a stranger.
    """
    product = find_product(session, product_id)
    _refuse_stranger(actor, product)
    return product


def lock_product(
    session: Session, product_id: int, expected_versions: Container[int] | None
) -> Product:
    """The product as it is now, and nobody else changes it before the transaction ends.

    Raises NotFound if it was deleted meanwhile, PreconditionFailed if it is no longer at a
    version that the caller has read; None stands for any version.
    """
    product = session.scalar(
        products_for_sale().where(Product.id == product_id).with_for_update(of=Product)
    )
    if product is None:
        raise no_such_product()
    if expected_versions is not None and product.version not in expected_versions:
        raise PreconditionFailed(
            "The product has changed since you read it: read it again, then change it."
        )
    return product


def lock_own_products(session: Session, actor: Actor, ids: Collection[int]) -> Sequence[Product]:
    """Products that the actor may change, locked in the order of their ids.

    Raises NotFound if one is missing, Forbidden if one is somebody else's.
    """
    products = session.scalars(
        products_for_sale()
        .where(Product.id.in_(ids))
        .order_by(Product.id)
        .with_for_update(of=Product)
    ).all()
    if len(products) != len(ids):
        raise no_such_product()
    for product in products:
        _refuse_stranger(actor, product)
    return products


def _refuse_stranger(actor: Actor, product: Product) -> None:
    if not may_edit_product(actor, product):
        raise Forbidden(
            "Only the seller of this product or an administrator may change it.",
            code="not_your_product",
        )


def no_such_product() -> NotFound:
    return NotFound("There is no such product.", code="product_not_found")
