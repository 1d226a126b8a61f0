"""The category that a cell names: a slug, a name, or a path like ``Clothes > Shoes``."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.models import Category
from app.policies import Actor
from app.services.change_categories import NewCategory, create_category
from app.utils.slug import slugify

LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    parent_id: int | None
    name: str
    slug: str


class CategoryBook:
    """All categories as they are in this transaction. With a ``maker`` those that are missing are
    made, in the maker's name.
    """

    def __init__(self, session: Session, now: datetime, maker: Actor | None = None) -> None:
        self._session = session
        self._now = now
        self._maker = maker
        columns = (Category.id, Category.parent_id, Category.name, Category.slug)
        self._used: set[int] = set()
        self._known = [_Known(*row) for row in session.execute(select(*columns))]

    def find(self, text: str) -> int:
        """The id of the category that ``text`` names.

        Raises InvalidInput if there is none, or more than one; AppError if it cannot be made.
        """
        path = [part.strip() for part in text.split(">") if part.strip()]
        found = self._meant_by(text) or self._at(path)
        if len(found) > 1:
            slugs = ", ".join(sorted(category.slug for category in found))
            raise InvalidInput.field(
                "category", f"Several categories are called that: use {slugs}."
            )
        if found:
            self._used.add(found[0].id)
            return found[0].id
        if self._maker is None or not path:
            raise InvalidInput.field(
                "category", f"There is no category “{text[:100]}”. GET /api/categories lists them."
            )
        return self._make(path, self._maker)

    def hold(self) -> None:
        """Keep what was found from being deleted before the transaction ends."""
        if self._used:
            self._session.execute(
                select(Category.id)
                .where(Category.id.in_(self._used))
                .order_by(Category.id)
                .with_for_update(read=True, key_share=True)
            )

    def _meant_by(self, text: str) -> list[_Known]:
        """As everywhere else: a slug says it exactly, a name is the next best."""
        exact = [category for category in self._known if category.slug == text]
        slug = slugify(text) if ">" not in text else ""
        return exact or [
            category for category in self._known if category.name == text or category.slug == slug
        ]

    def _at(self, path: list[str]) -> list[_Known]:
        """What lies at the end of a path that begins at the top."""
        found: list[_Known] = []
        parents: set[int | None] = {None}
        for name in path:
            found = self._below(parents, name)
            parents = {category.id for category in found}
        return found

    def _below(self, parents: set[int | None], name: str) -> list[_Known]:
        return [
            category
            for category in self._known
            if category.parent_id in parents and category.name.casefold() == name.casefold()
        ]

    def _make(self, path: list[str], maker: Actor) -> int:
        """The categories of a path that are missing, from the top down."""
        parent_id: int | None = None
        for depth, name in enumerate(path, 1):
            there = self._below({parent_id}, name)
            if there:
                parent_id = there[0].id
                continue
            if len(name) > LONGEST_NAME:
                raise InvalidInput.field(
                    "category", f"A category's name has at most {LONGEST_NAME} characters."
                )
            new = NewCategory(name, slug=self._free_slug(path[:depth]), parent_id=parent_id)
            with self._session.begin_nested():
                made = create_category(self._session, maker, new, self._now)
            self._known.append(_Known(made.id, made.parent_id, made.name, made.slug))
            parent_id = made.id
        if parent_id is None:
            raise ValueError("A path has at least one name.")
        return parent_id

    def _free_slug(self, path: list[str]) -> str | None:
        """The name's own slug, or where another has it, that of the whole path: shoes of men and
        shoes of women are two categories.
        """
        taken = {category.slug for category in self._known}
        own = slugify(path[-1])
        return slugify(" ".join(path)) if own in taken else own or None
