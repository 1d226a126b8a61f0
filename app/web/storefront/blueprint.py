"""What the storefront's views share."""

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.services.product_rows import ProductRow
from app.web.pages import Pages, next_address, page, wants_fragment

CARDS = 24
"""Products on a page: whole rows of two, three, four and six."""

storefront = Pages("storefront", __name__)


def shelf(
    template: str,
    products: Sequence[ProductRow],
    next_cursor: str | None,
    status: int = 200,
    **context: Any,
) -> Response:
    """A page of products; the further cards alone, where a page that is open asks for more."""
    if wants_fragment():
        template = "storefront/_cards.html"
    response = page(template, status, products=products, next=next_address(next_cursor), **context)
    response.vary.add("HX-Request")
    return response
