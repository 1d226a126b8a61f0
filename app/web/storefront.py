"""The storefront: home, categories, search, products and what people say of them."""

from flask import Response

from app.web.pages import Pages, page
from app.web.visitors import public_page

storefront = Pages("storefront", __name__)


@storefront.get("/")
@public_page
def home() -> Response:
    """The front door."""
    return page("storefront/home.html")
