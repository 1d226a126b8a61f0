"""The storefront: home, categories, search, products and what people say of them."""

from app.web.storefront import browsing, product, searching  # noqa: F401 - views register themselves
from app.web.storefront.blueprint import storefront

__all__ = ["storefront"]
