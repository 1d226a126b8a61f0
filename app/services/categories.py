"""Reading categories: the tree, one of them, the one that somebody means."""

from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import CTE, BindParameter, ColumnElement, exists, or_, select
from sqlalchemy.orm import Session, aliased

from app.errors import InvalidInput, NotFound
from app.models import Category
from app.utils.slug import slugify


@dataclass(frozen=True, slots=True)
class CategoryNode:
    """A category and everything below it."""

    id: int
    name: str
    slug: str
    parent_id: int | None
    children: list["CategoryNode"] = field(default_factory=list)


def read_category_tree(session: Session) -> list[CategoryNode]:
    """The categories without a parent, each with its children; one query."""
    return [node for node in _nodes(session).values() if node.parent_id is None]


def read_category(session: Session, category_id: int) -> CategoryNode:
    """Raises NotFound."""
    node = _nodes(session).get(category_id)
    if node is None:
        raise no_such_category()
    return node


def no_such_category() -> NotFound:
    return NotFound("There is no such category.", code="category_not_found")


def _nodes(session: Session) -> dict[int, CategoryNode]:
    rows = session.scalars(select(Category)).all()
    nodes: dict[int, CategoryNode] = {}
    children: defaultdict[int | None, list[CategoryNode]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.position, row.name.casefold(), row.id)):
        node = CategoryNode(row.id, row.name, row.slug, row.parent_id, children[row.id])
        nodes[row.id] = node
        children[row.parent_id].append(node)
    return nodes


def category_for_product(session: Session, wanted: str | int) -> Category:
    """The category that a seller names by its id, slug or name.

    It cannot be deleted before the transaction ends; taken before any product is locked, because
    a change of a category locks in that order. Raises InvalidInput on the field ``category``.
    """
    condition = Category.id == wanted if isinstance(wanted, int) else _is_meant_by(wanted)
    found = session.scalars(
        select(Category).where(condition).with_for_update(read=True, key_share=True)
    ).all()
    if not found:
        raise InvalidInput.field(
            "category", "There is no such category. GET /api/categories lists them."
        )
    if len(found) > 1:
        slugs = ", ".join(sorted(category.slug for category in found))
        raise InvalidInput.field("category", f"Several categories are called that: use {slugs}.")
    return found[0]


def categories_within(
    wanted: str | BindParameter[str], as_slug: str | BindParameter[str] | None = None
) -> CTE:
    """The ids of what is meant by a slug or a name, and of everything below it.

    ``as_slug`` is what slugify() makes of it, where ``wanted`` is a parameter.
    """
    meant = _is_meant_by(wanted, as_slug)
    tree = select(Category.id).where(meant).cte("subtree", recursive=True)
    return tree.union(select(Category.id).join(tree, Category.parent_id == tree.c.id))


def _is_meant_by(
    wanted: str | BindParameter[str], as_slug: str | BindParameter[str] | None = None
) -> ColumnElement[bool]:
    """A slug says it exactly. A name is the next best, as written or as its slug would be."""
    other = aliased(Category)
    if as_slug is None:
        as_slug = slugify(str(wanted))
    by_name = or_(Category.name == wanted, Category.slug == as_slug)
    return or_(
        Category.slug == wanted,
        by_name & ~exists(select(other.id).where(other.slug == wanted)),
    )
