"""The catalogue as rows of text, a page at a time."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from app.models import Category, Product, User
from app.policies import Actor
from app.services.catalogue_csv.cells import guard_cell
from app.utils.clock import rfc3339
from app.utils.money import CENTS_PER_SHILLING

EXPORT_COLUMNS = (
    "id",
    "sku",
    "name",
    "description",
    "price",
    "stock",
    "category",
    "low_stock_threshold",
    "image_url",
    "created_at",
    "updated_at",
)
PAGE = 500


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Whose products: one seller's, or where it is None everybody's, with a column for the seller's
    name. ``excel`` adds the mark by which Excel knows UTF-8.
    """

    seller_id: int | None
    excel: bool = False

    @classmethod
    def of(cls, actor: Actor, *, excel: bool = False) -> "ExportRequest":
        """Sellers have their own products, administrators all."""
        return cls(None if actor.is_admin else actor.user_id, excel)

    @property
    def columns(self) -> tuple[str, ...]:
        return EXPORT_COLUMNS if self.seller_id is not None else (*EXPORT_COLUMNS, "seller")


def read_export_page(session: Session, wanted: ExportRequest, after_id: int) -> Sequence[Row[Any]]:
    """The next products that are not deleted, in the order of their ids."""
    statement: Select[*tuple[Any, ...]] = (
        select(
            Product.id,
            Product.sku,
            Product.name,
            Product.description,
            Product.price_cents,
            (Product.on_hand - Product.reserved).label("stock"),
            Category.slug.label("category"),
            Product.low_stock_threshold,
            Product.image_url,
            Product.created_at,
            Product.updated_at,
            User.username.label("seller"),
        )
        .join(User, User.id == Product.seller_id)
        .outerjoin(Category, Category.id == Product.category_id)
        .where(Product.deleted_at.is_(None), Product.id > after_id)
        .order_by(Product.id)
        .limit(PAGE)
    )
    if wanted.seller_id is not None:
        statement = statement.where(Product.seller_id == wanted.seller_id)
    return session.execute(statement).all()


def export_line(cells: Sequence[str]) -> str:
    """One row, every cell in quotes and none of them a formula."""
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow([guard_cell(cell) for cell in cells])
    return text.getvalue()


def export_cells(wanted: ExportRequest, product: Row[Any]) -> list[str]:
    shillings, cents = divmod(product.price_cents, CENTS_PER_SHILLING)
    written = {
        "price": f"{shillings}.{cents:02d}",
        "created_at": rfc3339(product.created_at),
        "updated_at": rfc3339(product.updated_at),
    }
    return [
        written.get(name) or ("" if (value := getattr(product, name)) is None else str(value))
        for name in wanted.columns
    ]
