"""Rows of products on the wire: what ProductSchema says, written out.

Twenty products take marshmallow four milliseconds, and this a twentieth of one. A test holds the
two together, field by field.
"""

from collections.abc import Sequence
from typing import Any

from app.models.item import average_rating
from app.services.product_rows import ProductRow
from app.utils.clock import rfc3339
from app.utils.money import CURRENCY, cents_to_wire


def products_on_wire(rows: Sequence[ProductRow]) -> list[dict[str, Any]]:
    return [product_on_wire(row) for row in rows]


def product_on_wire(row: ProductRow) -> dict[str, Any]:
    """What ``ProductSchema().dump`` makes of the product."""
    return {
        "id": row.id,
        "name": row.name,
        "price": cents_to_wire(row.price_cents),
        "currency": CURRENCY,
        "description": row.description,
        "stock": row.available,
        "category": row.category,
        "image_url": row.image_url,
        "rating_average": average_rating(row.rating_sum, row.rating_count),
        "rating_count": row.rating_count,
        "seller_id": row.seller_id,
        "sku": row.sku,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
