"""Categories on the wire."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.schemas.base import PlainText, PositiveId, Schema
from app.services.change_categories import CategoryChange, NewCategory
from app.utils.slug import LONGEST_SLUG, SLUG_PATTERN

_SLUG_RULE = validate.And(
    validate.Length(min=1, max=LONGEST_SLUG),
    validate.Regexp(
        rf"{SLUG_PATTERN}\Z", error="Must be small letters and digits with hyphens between them."
    ),
)
_NAME = {"description": "What people read.", "example": "Shoes"}
_SLUG = {
    "description": "What links and filters use; made from the name when it is left out.",
    "example": "shoes",
}
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
    slug = ma.fields.String(validate=_SLUG_RULE, metadata=_SLUG)
    parent_id = PositiveId(allow_none=True, metadata=_PARENT)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewCategory:
        return NewCategory(**data)


class CategoryChangeSchema(Schema):
    """Any of the fields; the others stay as they are."""

    name = PlainText(min=1, max=80, metadata=_NAME)
    slug = ma.fields.String(validate=_SLUG_RULE, metadata={**_SLUG, "description": "For links."})
    parent_id = PositiveId(allow_none=True, metadata=_PARENT)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> CategoryChange:
        return CategoryChange(**data)
