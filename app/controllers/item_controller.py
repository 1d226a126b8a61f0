"""The catalogue's products. Items and products are two names of one thing, with the same views."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from flask import Response, jsonify, request
from sqlalchemy.orm import Session

from app.context import current_catalogue, now
from app.controllers.blueprint import Blueprint
from app.controllers.catalogue_cache import kept_while_true, shows
from app.controllers.entity_tags import version_tag, versions_expected
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import current_database, transaction
from app.models import Product
from app.policies import Role
from app.schemas.base import page_of
from app.schemas.item import (
    NewProductSchema,
    ProductChangeSchema,
    ProductQuery,
    ProductSchema,
    WantedProducts,
)
from app.schemas.product_rows import product_on_wire, products_on_wire
from app.security import current_actor, public, require_role
from app.services.change_product import ProductChange, change_product
from app.services.create_product import NewProduct, create_product
from app.services.delete_product import delete_product
from app.services.kept_catalogue import Kept
from app.services.list_products import (
    ProductFilter,
    ProductSort,
    count_products,
    list_products,
)
from app.services.product_rows import find_product_row
from app.utils.json_provider import json_response

View = TypeVar("View", bound=Callable[..., Any])

items = Blueprint("items", __name__, description="The catalogue; /products is another name for it.")
_schema = ProductSchema()
_TOTAL_BYTES = 200


def _route(rule: str, *methods: str) -> Callable[[View], View]:
    """One view under both names of the catalogue."""

    def register(view: View) -> View:
        for name in ("items", "products"):
            items.route(f"/{name}{rule}", methods=list(methods))(view)
        return view

    return register


@_route("", "GET")
@public
@kept_while_true
@items.arguments(ProductQuery, location="query")
@items.response(200, page_of(ProductSchema))
def list_items(wanted: WantedProducts) -> Response:
    """What is for sale, a page at a time, newest first unless `sort` says otherwise."""
    total = _total(wanted.filter) if wanted.page.include_total else None
    found = list_products(
        current_database().asking, wanted.filter, replace(wanted.page, include_total=False)
    )
    page = replace(found, total=total)
    shown = frozenset(row.id for row in page.rows)
    answer = page_response(page, products_on_wire)
    return shows(answer, shown, follows_stock=wanted.filter.in_stock is not None)


@_route("/<id:item_id>", "GET")
@public
@kept_while_true
@items.response(200, ProductSchema)
def show_item(item_id: int) -> Response:
    """One product."""
    product = find_product_row(current_database().asking, item_id)
    answer = json_response(product_on_wire(product))
    answer.set_etag(version_tag(product.id, product.version))
    return shows(answer, frozenset({item_id}))


@_route("", "POST")
@require_role(Role.SELLER, Role.ADMIN)
@items.arguments(NewProductSchema)
@items.response(201, ProductSchema)
def offer_item(new: NewProduct) -> Response:
    """Put a product up for sale. With an `Idempotency-Key` it is made once."""

    def work(session: Session) -> Answer:
        product = create_product(session, current_actor(), new, now())
        return Answer(201, _schema.dump(product), location=f"{request.path}/{product.id}")

    return run_once(work)


@_route("/<id:item_id>", "PUT", "PATCH")
@require_role(Role.SELLER, Role.ADMIN)
@items.arguments(ProductChangeSchema)
@items.response(200, ProductSchema)
def change_item(change: ProductChange, item_id: int) -> Response:
    """Change the fields that are named; 412 when `If-Match` names another version."""
    with transaction() as session:
        product = change_product(
            session,
            current_actor(),
            item_id,
            change,
            now(),
            expected_versions=versions_expected(item_id),
        )
    response = _answer(product)
    response.set_etag(version_tag(product.id, product.version))
    return response


@_route("/<id:item_id>", "DELETE")
@require_role(Role.SELLER, Role.ADMIN)
@items.response(204)
def remove_item(item_id: int) -> None:
    """Take a product out of the shop; orders that contain it stay whole."""
    with transaction() as session:
        delete_product(
            session,
            current_actor(),
            item_id,
            now(),
            expected_versions=versions_expected(item_id),
        )


def _total(wanted: ProductFilter) -> int:
    """Counted anew when products have come, gone or moved, and not for each page or sale."""

    def count() -> Kept:
        total = count_products(current_database().asking, wanted)
        return Kept(total, _TOTAL_BYTES, follows_stock=wanted.in_stock is not None)

    in_any_order = replace(wanted, sort=ProductSort.CREATED_AT_DESCENDING)
    total: int = current_catalogue().get(("total", in_any_order), count).content
    return total


def _answer(product: Product) -> Response:
    return jsonify(_schema.dump(product))
