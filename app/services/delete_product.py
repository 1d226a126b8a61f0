from collections.abc import Container
from datetime import datetime

from sqlalchemy.orm import Session

from app.policies import Actor
from app.services.find_product import find_own_product, lock_product
from app.services.pictures import retire_product_image


def delete_product(
    session: Session,
    actor: Actor,
    product_id: int,
    now: datetime,
    *,
    expected_versions: Container[int] | None = None,
) -> None:
    """Take a product out of the shop for good.

    Its row stays for the orders that name it, its counts with it: what an order holds it may still
    sell or give back. Its SKU is free again. Raises NotFound, Forbidden, PreconditionFailed.
    """
    find_own_product(session, actor, product_id)
    product = lock_product(session, product_id, expected_versions)
    product.deleted_at = now
    product.updated_at = now
    product.version += 1
    product.sku = None
    retire_product_image(session, product.id, now)
    session.flush()
