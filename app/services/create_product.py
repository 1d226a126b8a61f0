"""A new product, with its first stock."""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Offer:
    """A new product and whose it is to be."""

    new: NewProduct
    seller_id: int


def create_product(
    session: Session,
    actor: Actor,
    new: NewProduct,
    now: datetime,
    *,
    seller_id: int | None = None,
) -> Product:
    """Put a product up for sale under the actor's name; its stock arrives as a receipt.

    An administrator may name another seller by ``seller_id``, who must be one. Raises Forbidden,
    InvalidInput for a category that is not there, Conflict ``sku_taken``.
    """
    owner_id = actor.user_id if seller_id is None else seller_id
    _refuse_other_sellers(actor, {owner_id})
    category = None if new.category is None else category_for_product(session, new.category)
    product = _without_stock(new, owner_id, now)
    product.category = category
    session.add(product)
    flush_product(session, product)
    receive_stock(session, actor, product, new.stock, now)
    session.flush()
    return product


def create_products(
    session: Session, actor: Actor, offers: Sequence[Offer], now: datetime
) -> list[Product]:
    """What create_product does, for many in a few statements; if one is refused, all are.

    Raises Forbidden, InvalidInput for a category that is not there, Conflict ``sku_taken``.
    """
    _refuse_other_sellers(actor, {offer.seller_id for offer in offers})
    categories = {
        wanted: category_for_product(session, wanted).id
        for wanted in {offer.new.category for offer in offers}
        if wanted is not None
    }
    products = [_without_stock(offer.new, offer.seller_id, now) for offer in offers]
    for product, offer in zip(products, offers, strict=True):
        if offer.new.category is not None:
            product.category_id = categories[offer.new.category]
    session.add_all(products)
    flush_product(session, *products)
    for product, offer in zip(products, offers, strict=True):
        receive_stock(session, actor, product, offer.new.stock, now)
    session.flush()
    return products


def _refuse_other_sellers(actor: Actor, seller_ids: set[int]) -> None:
    if not actor.may_sell or (seller_ids - {actor.user_id} and not actor.is_admin):
        raise Forbidden("Only sellers and administrators offer products.")


def _without_stock(new: NewProduct, seller_id: int, now: datetime) -> Product:
    return Product(
        seller_id=seller_id,
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


def flush_product(session: Session, *products: Product) -> None:
    """Write the products; of two that take one SKU at the same moment, the second is refused."""
    sku = " or ".join(product.sku for product in products if product.sku)
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
