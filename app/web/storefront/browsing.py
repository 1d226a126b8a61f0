"""The front door, and the shelves."""

from flask import request

from app.db import reading
from app.services.categories import read_category_tree
from app.services.category_paths import path_to_category
from app.services.list_products import ProductFilter, list_products
from app.services.pages import Page
from app.services.product_rows import ProductRow
from app.web.kept_pages import Sheet, kept_page
from app.web.pages import asked_page
from app.web.storefront.blueprint import CARDS, shelf, storefront
from app.web.storefront.filters import NARROWING, SORTS, narrowed, read_filters
from app.web.visitors import public_page


@storefront.get("/")
@public_page
@kept_page
def home() -> Sheet:
    """The front door: what the shop is sorted into, and what is new."""
    with reading() as session:
        found = list_products(session, ProductFilter(), asked_page(CARDS))
        tops = read_category_tree(session)
    return shelf(
        "storefront/home.html",
        found.rows,
        found.next_cursor,
        tops=tops,
        is_first="cursor" not in request.args,
    )


@storefront.get("/c/<slug>")
@public_page
@kept_page
def show_category(slug: str) -> Sheet:
    """One category with what lies below it."""
    filters = read_filters((*NARROWING, "sort"))
    with reading() as session:
        path = path_to_category(read_category_tree(session), slug)
        found: Page[ProductRow] = Page([], next_cursor=None)
        if filters.wanted is not None:
            wanted = ProductFilter(category=slug, **filters.wanted)
            found = list_products(session, wanted, asked_page(CARDS))
    return shelf(
        "storefront/category.html",
        found.rows,
        found.next_cursor,
        filters.status,
        follows_stock=filters.chooses_by_stock,
        path=path,
        filters=filters,
        sorts=SORTS,
        narrowed=narrowed,
    )
