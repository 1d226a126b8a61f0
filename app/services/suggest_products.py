"""What somebody who is still typing may mean, with enough of each product to show it."""

from sqlalchemy.orm import Session

from app.services.product_rows import ProductRow, find_product_rows
from app.services.search import suggest


def suggest_products(session: Session, text: str, limit: int) -> list[ProductRow]:
    """The best first."""
    ids = [suggestion.product_id for suggestion in suggest(session, text, limit)]
    return find_product_rows(session, ids)
