"""Making, changing and deleting categories: an administrator's work, one at a time."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden, InvalidInput
from app.models import Category, Product
from app.policies import Actor
from app.services.categories import CategoryNode, no_such_category, read_category
from app.services.constraints import breaks
from app.utils.slug import slugify
from app.utils.unset import UNSET, Unset

DEEPEST = 5
"""How many levels the tree may have."""


@dataclass(frozen=True, slots=True)
class NewCategory:
    """``slug`` is made from the name where it is None."""

    name: str
    slug: str | None = None
    parent_id: int | None = None


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """What is UNSET stays as it is; a new name does not move the slug, because links name it."""

    name: str | Unset = UNSET
    slug: str | Unset = UNSET
    parent_id: int | Unset | None = UNSET


def create_category(
    session: Session, actor: Actor, new: NewCategory, now: datetime
) -> CategoryNode:
    """Raises Forbidden, InvalidInput for a parent that will not do, Conflict for a taken slug."""
    tree = _lock_tree(session, actor)
    slug = new.slug or slugify(new.name)
    if not slug:
        raise InvalidInput.field("slug", "No slug can be made from this name: choose one.")
    _refuse_parent(tree, new.parent_id, height=1)
    category = Category(
        name=new.name, slug=slug, parent_id=new.parent_id, created_at=now, updated_at=now
    )
    session.add(category)
    _flush(session, slug)
    return read_category(session, category.id)


def change_category(
    session: Session, actor: Actor, category_id: int, change: CategoryChange, now: datetime
) -> CategoryNode:
    """Raises Forbidden, NotFound, InvalidInput for a parent that will not do, Conflict for a
    taken slug. A new slug makes new versions of the products that show it.
    """
    tree = _lock_tree(session, actor)
    category = _one_of(tree, category_id)
    if change.parent_id is not UNSET:
        below = _subtree(tree, category_id)
        if change.parent_id in below:
            raise InvalidInput.field("parent_id", "A category cannot lie below itself.")
        _refuse_parent(tree, change.parent_id, height=_height(tree, category_id, below))
    wanted = {"name": change.name, "slug": change.slug, "parent_id": change.parent_id}
    changed = {
        name: value
        for name, value in wanted.items()
        if value is not UNSET and getattr(category, name) != value
    }
    for name, value in changed.items():
        setattr(category, name, value)
    if changed:
        category.updated_at = now
        _flush(session, category.slug)
    if "slug" in changed:
        _renew_products(session, category_id, now)
    return read_category(session, category_id)


def delete_category(session: Session, actor: Actor, category_id: int) -> None:
    """Raises Forbidden, NotFound, Conflict while it has sub-categories or products."""
    tree = _lock_tree(session, actor)
    category = _one_of(tree, category_id)
    # Waits for whoever is putting a product into it, and keeps the next one out.
    session.execute(select(Category.id).where(Category.id == category_id).with_for_update())
    children = sum(other.parent_id == category_id for other in tree.values())
    products = session.scalar(
        select(func.count())
        .select_from(Product)
        .where(Product.category_id == category_id, Product.deleted_at.is_(None))
    )
    if children or products:
        raise Conflict(
            f"{category.name} holds {children} sub-categories and {products} products:"
            " move or delete them first.",
            code="category_in_use",
            children=children,
            products=products,
        )
    session.execute(  # deleted products keep their rows, and would keep the category alive
        update(Product).where(Product.category_id == category_id).values(category_id=None)
    )
    session.delete(category)
    session.flush()


def _lock_tree(session: Session, actor: Actor) -> dict[int, Category]:
    """Every category by its id. Depth and cycles are facts about all of them, so whoever changes
    one waits for whoever changes another; sellers, who only refer to one, do not wait.
    """
    if not actor.is_admin:
        raise Forbidden("Only an administrator changes categories.")
    session.execute(select(Category.id).order_by(Category.id).with_for_update(key_share=True))
    rows = session.scalars(select(Category).execution_options(populate_existing=True))
    return {row.id: row for row in rows}


def _one_of(tree: dict[int, Category], category_id: int) -> Category:
    if category_id not in tree:
        raise no_such_category()
    return tree[category_id]


def _refuse_parent(tree: dict[int, Category], parent_id: int | None, *, height: int) -> None:
    if parent_id is not None and parent_id not in tree:
        raise InvalidInput.field("parent_id", "There is no category with this id.")
    if _depth(tree, parent_id) + height > DEEPEST:
        raise InvalidInput.field("parent_id", f"Categories lie at most {DEEPEST} deep.")


def _depth(tree: dict[int, Category], category_id: int | None) -> int:
    """How many categories there are from the top down to this one, itself counted."""
    depth = 0
    while category_id is not None:
        depth += 1
        category_id = tree[category_id].parent_id
    return depth


def _subtree(tree: dict[int, Category], category_id: int) -> set[int]:
    """The ids of a category and of all below it."""
    found = {category_id}
    while more := {row.id for row in tree.values() if row.parent_id in found} - found:
        found |= more
    return found


def _height(tree: dict[int, Category], category_id: int, below: set[int]) -> int:
    above = _depth(tree, category_id) - 1
    return max(_depth(tree, other) for other in below) - above


def _renew_products(session: Session, category_id: int, now: datetime) -> None:
    shown = (Product.category_id == category_id) & Product.deleted_at.is_(None)
    # In id order, like orders: two that lock the same products cannot wait for each other.
    session.execute(select(Product.id).where(shown).order_by(Product.id).with_for_update())
    session.execute(
        update(Product).where(shown).values(version=Product.version + 1, updated_at=now)
    )


def _flush(session: Session, slug: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if not breaks(error, "uq_categories_slug"):
            raise
        raise Conflict(
            f"Another category has the slug {slug}: choose another.",
            code="slug_taken",
            errors=[{"field": "slug", "message": "Another category has this slug."}],
        ) from error
