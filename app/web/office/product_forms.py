"""The form of a product: what may stand in it, what it shows, how two of them differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.db import reading
from app.models import Product
from app.models.item import MAX_STOCK
from app.schemas.base import PlainText, Schema
from app.schemas.catalogue_csv import CellCount, CellMoney
from app.schemas.item import CategoryReference
from app.services.categories import CategoryNode, read_category_tree
from app.services.create_product import NewProduct
from app.services.shop_products import ProductText, text_mark
from app.utils.money import cents_to_wire
from app.web.language import mark

FIELD_NAMES = {
    "name": mark("Name"),
    "price": mark("Price in shillings"),
    "category": mark("Category"),
    "description": mark("Description"),
    "sku": mark("Your own code (SKU)"),
    "low_stock_threshold": mark("Tell me when so few are left"),
}
_COUNT = validate.Range(min=0, max=MAX_STOCK, error="Must be from 0 to {max}.")

Choices = Sequence[tuple[str, str]]


class ProductForm(Schema):
    """A product as people write it; a field that is left empty is empty."""

    name = PlainText(min=1, max=200, required=True)
    price = CellMoney(attribute="price_cents", minimum_cents=1, required=True)
    description = PlainText(max=10_000, multiline=True, load_default="")
    category = CategoryReference(load_default=None)
    sku = PlainText(min=1, max=64, load_default=None)
    low_stock_threshold = CellCount(validate=_COUNT, load_default=None)


class NewProductForm(ProductForm):
    stock = CellCount(validate=_COUNT, load_default=0)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewProduct:
        return NewProduct(**data)


class ChangedProductForm(ProductForm):
    """``seen`` says what the writer saw before."""

    seen = ma.fields.String(required=True)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> tuple[str, ProductText]:
        return data.pop("seen"), ProductText(**data)


def written_values(product: Product) -> dict[str, Any]:
    """What a form shows of a product, and the mark by which a change of it is noticed."""
    price = cents_to_wire(product.price_cents)
    return {
        "name": product.name,
        "price": price if isinstance(price, int) else f"{price:.2f}",
        "category": product.category.slug if product.category else "",
        "description": product.description,
        "sku": product.sku,
        "low_stock_threshold": product.low_stock_threshold,
        "seen": text_mark(product),
    }


def category_choices() -> Choices:
    """Every category by its slug, named by its path from the top of the tree."""
    with reading() as session:
        return list(_paths(read_category_tree(session)))


def _paths(nodes: Sequence[CategoryNode], above: str = "") -> Iterator[tuple[str, str]]:
    for node in nodes:
        yield node.slug, above + node.name
        yield from _paths(node.children, f"{above}{node.name} / ")


def differing(values: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """The names of the fields that mean something else in the other form: 999.5 is 999.50."""
    one, other = _loaded(values), _loaded(others)
    return [name for name in FIELD_NAMES if one[name] != other[name]]


def _loaded(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a form's values mean, by the names of its fields."""
    texts = {name: str(values[name]) for name in FIELD_NAMES if values.get(name) is not None}
    fields = ProductForm().fields
    loaded = ProductForm().load({name: text for name, text in texts.items() if text.strip()})
    return {name: loaded[fields[name].attribute or name] for name in FIELD_NAMES}
