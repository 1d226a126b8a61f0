"""Categories on the wire."""

import re
from typing import Any

import marshmallow as ma

from app.schemas.base import PlainText, PositiveId, Schema
from app.services.change_categories import CategoryChange, NewCategory
from app.utils.slug import LONGEST_SLUG, SLUG_PATTERN

_SLUG_SHAPE = re.compile(SLUG_PATTERN)


def _check_slug(slug: str) -> None:
    if len(slug) > LONGEST_SLUG or not _SLUG_SHAPE.fullmatch(slug):
        raise ma.ValidationError(
            "Must be small letters and digits with hyphens between them,"
            f" {LONGEST_SLUG} characters at most."
        )


_NAME = {"description": "What people read.", "example": "Shoes"}
_SLUG = {
    "description": "What links and filters use; a new category without one gets it from its name.",
    "example": "shoes",
}
_SLUG_RULE = {"pattern": f"^{SLUG_PATTERN}$", "maxLength": LONGEST_SLUG}
_PARENT = {"description": "The category that this one lies in; null at the top of the tree."}


class CategorySchema(Schema):
    """A category and everything below it."""

    id = ma.fields.Integer(required=True, metadata={"example": 3})
    name = ma.fields.String(required=True, metadata=_NAME)
    slug = ma.fields.String(required=True, metadata=_SLUG)
    parent_id = ma.fields.Integer(required=True, allow_none=True, metadata=_PARENT)
    children = ma.fields.List(
        ma.fields.Nested("CategorySchema"), required=True, metadata={"example": []}
    )


class NewCategorySchema(Schema):
    name = PlainText(min=1, max=80, required=True, metadata=_NAME)
    slug = ma.fields.String(validate=_check_slug, metadata={**_SLUG, **_SLUG_RULE})
    parent_id = PositiveId(allow_none=True, metadata=_PARENT)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewCategory:
        return NewCategory(**data)


class CategoryChangeSchema(Schema):
    """Any of the fields; the others stay as they are."""

    name = PlainText(min=1, max=80, metadata=_NAME)
    slug = ma.fields.String(validate=_check_slug, metadata={**_SLUG, **_SLUG_RULE})
    parent_id = PositiveId(allow_none=True, metadata=_PARENT)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> CategoryChange:
        return CategoryChange(**data)
