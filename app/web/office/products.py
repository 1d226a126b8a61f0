"""Products: found, written, changed, taken out of the shop."""

from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models import Product
from app.policies import Role
from app.schemas.base import PlainText, QueryId, Schema
from app.schemas.item import LONGEST_CATEGORY
from app.security import current_actor
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
)
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.lists import look_up
from app.web.office.product_forms import (
    FIELD_NAMES,
    ChangedProductForm,
    NewProductForm,
    category_choices,
    differing,
    written_values,
)
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

LONGEST_SEARCH = 200
MOST_WORDS = 10
CHIPS = (
    ("", mark("All")),
    (StockFilter.LOW, mark("Little left")),
    (StockFilter.SOLD_OUT, mark("Sold out")),
)


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


def _beside_theirs(form: Form, product: Product) -> dict[str, Any]:
    """The writer's text as it was sent, and beside it what differs now; to be saved again."""
    stored = written_values(product)
    theirs = [(FIELD_NAMES[name], stored[name]) for name in differing(form.values, stored)]
    problem = gettext(
        "Somebody changed it since you opened it. Your text is kept below: look, and save again."
    )
    values = {**form.values, "seen": stored["seen"]}
    return {"form": Form(values, form.errors, problem, form.problem_code), "theirs": theirs}


def _again(product_id: int, form: Form) -> str:
    return product_page(product_id, form=form).get_data(as_text=True)


def _new_page(form: Form) -> Response:
    return page("office/product_new.html", form=form, categories=category_choices())
