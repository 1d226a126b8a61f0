"""What somebody who is still typing may mean, with enough of each product to show it."""

from sqlalchemy.orm import Session

from app.models import Product
from app.services.find_product import products_for_sale
from app.services.search import suggest


def suggest_products(session: Session, text: str, limit: int) -> list[Product]:
    """The best first."""
    ids = [suggestion.product_id for suggestion in suggest(session, text, limit)]
    if not ids:
        return []
    found = session.scalars(products_for_sale().where(Product.id.in_(ids))).all()
    return sorted(found, key=lambda product: ids.index(product.id))
