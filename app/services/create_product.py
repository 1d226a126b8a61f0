"""A new product, with its first stock."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden
from app.models import Product
from app.policies import Actor
from app.services.categories import category_for_product
from app.services.constraints import breaks
from app.services.stock_counts import receive_stock


@dataclass(frozen=True, slots=True)
class NewProduct:
    """What a seller says of a product; ``category`` is an id, a slug or a name."""

    name: str
    price_cents: int
    description: str = ""
    stock: int = 0
    category: str | int | None = None
    image_url: str | None = None
    sku: str | None = None
    low_stock_threshold: int | None = None


def create_product(session: Session, actor: Actor, new: NewProduct, now: datetime) -> Product:
    """Put a product up for sale under the actor's name; its stock arrives as a receipt.

    Raises Forbidden, InvalidInput for a category that is not there, Conflict ``sku_taken``.
    """
    if not actor.may_sell:
        raise Forbidden("Only sellers and administrators offer products.")
    category = None if new.category is None else category_for_product(session, new.category)
    product = Product(
        seller_id=actor.user_id,
        category=category,
        name=new.name,
        description=new.description,
        price_cents=new.price_cents,
        sku=new.sku,
        image_url=new.image_url,
        on_hand=0,
        reserved=0,
        low_stock_threshold=new.low_stock_threshold,
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(product)
    flush_product(session, product)
    receive_stock(session, actor, product, new.stock, now)
    session.flush()
    return product


def flush_product(session: Session, product: Product) -> None:
    """Write the product; of two that take one SKU at the same moment, the second is refused."""
    sku = product.sku
    try:
        session.flush()
    except IntegrityError as error:
        if not breaks(error, "uq_products_seller_id_sku"):
            raise
        raise Conflict(
            f"Another of this seller's products has the SKU {sku}.",
            code="sku_taken",
            errors=[{"field": "sku", "message": "Another product has this SKU."}],
        ) from error
