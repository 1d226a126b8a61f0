"""The tree of categories: everybody reads it, administrators change it."""

from flask import Response, jsonify, request
from sqlalchemy.orm import Session

from app.context import now
from app.controllers.blueprint import Blueprint
from app.controllers.catalogue_cache import kept_while_true, shows
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.policies import Role
from app.schemas.base import page_of
from app.schemas.category import CategoryChangeSchema, CategorySchema, NewCategorySchema
from app.security import current_actor, public, require_role
from app.services.categories import CategoryNode, read_category, read_category_tree
from app.services.change_categories import (
    CategoryChange,
    NewCategory,
    change_category,
    create_category,
    delete_category,
)
from app.services.pages import Page

categories = Blueprint("categories", __name__, description="What the catalogue is sorted into.")
_schema = CategorySchema()


@categories.get("/categories")
@public
@kept_while_true
@categories.response(200, page_of(CategorySchema))
def list_categories() -> Response:
    """The whole tree: the categories at its top, each with those below it."""
    with reading() as session:
        tops = read_category_tree(session)
    return shows(page_response(Page(tops, next_cursor=None), _schema), frozenset())


@categories.get("/categories/<id:category_id>")
@public
@kept_while_true
@categories.response(200, CategorySchema)
def show_category(category_id: int) -> Response:
    """One category, with those below it."""
    with reading() as session:
        node = read_category(session, category_id)
    return shows(jsonify(_schema.dump(node)), frozenset())


@categories.post("/categories")
@require_role(Role.ADMIN)
@categories.arguments(NewCategorySchema)
@categories.response(201, CategorySchema)
def add_category(new: NewCategory) -> Response:
    """Add a category at the top or below another. With an `Idempotency-Key` it is made once."""

    def work(session: Session) -> Answer:
        node = create_category(session, current_actor(), new, now())
        return Answer(201, _schema.dump(node), location=f"{request.path}/{node.id}")

    return run_once(work)


@categories.route("/categories/<id:category_id>", methods=["PUT", "PATCH"])
@require_role(Role.ADMIN)
@categories.arguments(CategoryChangeSchema)
@categories.response(200, CategorySchema)
def edit_category(change: CategoryChange, category_id: int) -> CategoryNode:
    """Change the fields that are named; what lies below moves along."""
    with transaction() as session:
        return change_category(session, current_actor(), category_id, change, now())


@categories.delete("/categories/<id:category_id>")
@require_role(Role.ADMIN)
@categories.response(204)
def remove_category(category_id: int) -> None:
    """Delete a category that holds nothing."""
    with transaction() as session:
        delete_category(session, current_actor(), category_id)
