"""Products: found, written, changed, taken out of the shop."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from marshmallow import validate
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models import Product
from app.models.item import MAX_STOCK
from app.policies import Role
from app.schemas.base import PlainText, QueryId, Schema
from app.schemas.catalogue_csv import CellCount, CellMoney
from app.schemas.item import LONGEST_CATEGORY, CategoryReference
from app.security import current_actor
from app.services.categories import CategoryNode, read_category_tree
from app.services.create_product import NewProduct, create_product
from app.services.delete_product import delete_product
from app.services.find_product import find_own_product
from app.services.pages import Page
from app.services.shop_products import (
    ProductText,
    ShopProduct,
    ShopProductFilter,
    StockFilter,
    change_text,
    find_shop_product,
    list_shop_products,
    text_mark,
)
from app.utils.money import cents_to_wire
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.lists import look_up
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

LONGEST_SEARCH = 200
MOST_WORDS = 10
CHIPS = (
    ("", mark("All")),
    (StockFilter.LOW, mark("Little left")),
    (StockFilter.SOLD_OUT, mark("Sold out")),
)
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


class ProductSearch(Schema):
    """What products are searched by. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    words = PlainText(max=LONGEST_SEARCH, load_default="")
    category = PlainText(max=LONGEST_CATEGORY, load_default=None)
    stock = ma.fields.Enum(StockFilter, by_value=True, load_default=None)
    seller = QueryId(attribute="seller_id", load_default=None)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> ShopProductFilter:
        words = tuple(data.pop("words").split()[:MOST_WORDS])
        return ShopProductFilter(words=words, **data)


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


@office.get("/office/products")
@role_page(Role.SELLER, Role.ADMIN)
def products() -> AnyResponse:
    """Products, newest first; a seller's are their own."""
    return look_up(
        ProductSearch(), _find, "office/products.html", chips=CHIPS, categories=category_choices()
    )


def _find(wanted: ShopProductFilter) -> Page[ShopProduct]:
    with reading() as session:
        return list_shop_products(session, current_actor(), wanted, asked_page())


@office.get("/office/products/new")
@role_page(Role.SELLER, Role.ADMIN)
def new_product() -> AnyResponse:
    """Where a product is written."""
    return _new_page(Form({"stock": "0"}))


@office.post("/office/products/new")
@role_page(Role.SELLER, Role.ADMIN)
def offer_product() -> AnyResponse:
    """Put a product up for sale."""

    def act(new: NewProduct) -> AnyResponse:
        with transaction() as session:
            made = create_product(session, current_actor(), new, now())
        message = gettext("Your product is for sale. A picture sells it better.")
        return done(message, "office.product", product_id=made.id)

    return submit(NewProductForm(), act, lambda form: _new_page(form).get_data(as_text=True))


@office.get("/office/products/<id:product_id>")
@role_page(Role.SELLER, Role.ADMIN)
def product(product_id: int) -> AnyResponse:
    """One product, to be changed."""
    return product_page(product_id)


@office.post("/office/products/<id:product_id>")
@role_page(Role.SELLER, Role.ADMIN)
def save_product(product_id: int) -> AnyResponse:
    """Change what is written of a product, unless somebody else did meanwhile."""
    refuse_stranger(product_id)

    def act(sent: tuple[str, ProductText]) -> AnyResponse:
        seen, text = sent
        with transaction() as session:
            change_text(session, current_actor(), product_id, text, seen, now())
        return done(gettext("The product is saved."), "office.product", product_id=product_id)

    return submit(ChangedProductForm(), act, partial(_again, product_id))


@office.post("/office/products/<id:product_id>/delete")
@role_page(Role.SELLER, Role.ADMIN)
def remove_product(product_id: int) -> AnyResponse:
    """Take a product out of the shop for good."""
    with transaction() as session:
        delete_product(session, current_actor(), product_id, now())
    return done(gettext("The product is out of the shop."), "office.products")


def refuse_stranger(product_id: int) -> None:
    """Before anything is said of what was sent. Raises NotFound, Forbidden."""
    with reading() as session:
        find_own_product(session, current_actor(), product_id)


def product_page(product_id: int, **forms: Form) -> Response:
    """The page of a product; ``form`` and ``picture_form`` are shown instead of fresh ones."""
    with reading() as session:
        shown = find_shop_product(session, current_actor(), product_id)
    form = forms.pop("form", None) or Form(written_values(shown.product))
    context: dict[str, Any] = {
        "shown": shown,
        "form": form,
        "theirs": [],
        "picture_form": Form(),
        "categories": category_choices(),
        **forms,
    }
    if form.problem_code == "precondition_failed":
        context |= _beside_theirs(form, shown.product)
    return page("office/product.html", **context)


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


def _beside_theirs(form: Form, product: Product) -> dict[str, Any]:
    """The writer's text as it was sent, and beside it what differs now; to be saved again."""
    stored = written_values(product)
    theirs = [
        (label, stored[name])
        for name, label in FIELD_NAMES.items()
        if _as_sent(stored[name]) != _as_sent(form.value(name))
    ]
    problem = gettext(
        "Somebody changed it since you opened it. Your text is kept below: look, and save again."
    )
    values = {**form.values, "seen": stored["seen"]}
    return {"form": Form(values, form.errors, problem, form.problem_code), "theirs": theirs}


def _as_sent(value: Any) -> str:
    return "" if value is None else str(value).replace("\r\n", "\n").strip()


def _again(product_id: int, form: Form) -> str:
    return product_page(product_id, form=form).get_data(as_text=True)


def _new_page(form: Form) -> Response:
    return page("office/product_new.html", form=form, categories=category_choices())
