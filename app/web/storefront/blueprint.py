"""What the storefront's views share."""

from collections.abc import Sequence
from typing import Any

from app.services.product_rows import ProductRow
from app.web.kept_pages import Sheet
from app.web.pages import Pages, next_address, wants_fragment

CARDS = 24
"""Products on a page: whole rows of two, three, four and six."""

storefront = Pages("storefront", __name__)


def shelf(
    template: str,
    products: Sequence[ProductRow],
    next_cursor: str | None,
    status: int = 200,
    *,
    follows_stock: bool = False,
    **context: Any,
) -> Sheet:
    """A page of products; the further cards alone, where a page that is open asks for more."""
    return Sheet(
        "storefront/_cards.html" if wants_fragment() else template,
        {"products": products, "next": next_address(next_cursor), **context},
        status,
        frozenset(product.id for product in products),
        follows_stock,
    )
