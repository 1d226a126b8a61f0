"""A product with all that stands around it on its page."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Product, User
from app.services.categories import CategoryNode, read_category_tree
from app.services.category_paths import path_to_category
from app.services.comments import CommentView, list_comments
from app.services.find_product import find_product
from app.services.list_products import ProductFilter, list_products
from app.services.pages import Page, PageRequest
from app.services.product_rows import ProductRow

NEIGHBOURS = 4


@dataclass(frozen=True, slots=True)
class ProductView:
    """``path`` leads to its category from the top; ``neighbours`` are others of that category."""

    product: Product
    seller_name: str
    path: list[CategoryNode]
    comments: Page[CommentView]
    neighbours: list[ProductRow]


def show_product(session: Session, product_id: int, comments: PageRequest) -> ProductView:
    """In as many statements for a product of which much is said as for a new one.

    Raises NotFound, and InvalidInput for a cursor that is not of these comments.
    """
    product = find_product(session, product_id)
    seller_name = session.scalars(select(User.username).where(User.id == product.seller_id)).one()
    path: list[CategoryNode] = []
    neighbours: list[ProductRow] = []
    if product.category is not None:
        slug = product.category.slug
        path = path_to_category(read_category_tree(session), slug)
        beside = list_products(session, ProductFilter(category=slug), PageRequest(NEIGHBOURS + 1))
        neighbours = [other for other in beside.rows if other.id != product.id][:NEIGHBOURS]
    said = list_comments(session, product_id, comments)
    return ProductView(product, seller_name, path, said, neighbours)
