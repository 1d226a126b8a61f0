"""A product as schema.org describes one, for search engines."""

from typing import Any

from app.models import Product
from app.utils.money import CURRENCY, cents_to_wire


def structured_data(product: Product, address: str, picture: str | None) -> dict[str, Any]:
    """The content of a data block: no script, so that the page's policy lets it stand."""
    state = "InStock" if product.available else "OutOfStock"
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": product.name,
        "url": address,
        "offers": {
            "@type": "Offer",
            "price": cents_to_wire(product.price_cents),
            "priceCurrency": CURRENCY,
            "availability": f"https://schema.org/{state}",
            "url": address,
        },
    }
    if product.description:
        data["description"] = product.description
    if product.sku:
        data["sku"] = product.sku
    if picture:
        data["image"] = picture
    if product.rating_count:
        data["aggregateRating"] = {
            "@type": "AggregateRating",
            "ratingValue": product.rating_average,
            "ratingCount": product.rating_count,
        }
    return data
