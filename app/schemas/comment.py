"""Comments on the wire."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models.comment import HIGHEST_RATING, LOWEST_RATING
from app.schemas.base import (
    ListQuery,
    PlainText,
    PositiveId,
    Schema,
    StrictInteger,
    Timestamp,
    take_page,
)
from app.services.comments import NewComment
from app.services.pages import PageRequest

LONGEST_COMMENT = 2000
_BODY = {"description": "Plain text; never markup.", "example": "Light, and true to size."}
_RATING = {"example": 5}


class NewCommentSchema(Schema):
    item_id = PositiveId(required=True, metadata={"example": 1})
    body = PlainText(min=1, max=LONGEST_COMMENT, multiline=True, required=True, metadata=_BODY)
    rating = StrictInteger(
        allow_none=True,
        validate=validate.Range(
            LOWEST_RATING, HIGHEST_RATING, error=f"Must be {LOWEST_RATING} to {HIGHEST_RATING}."
        ),
        metadata=_RATING,
    )

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewComment:
        return NewComment(**data)


class CommentQuery(ListQuery):
    @ma.post_load
    def _page(self, data: dict[str, Any], **_kwargs: Any) -> PageRequest:
        return take_page(data)


class CommentAuthorSchema(Schema):
    """Who says it: what everybody may see of a user."""

    id = ma.fields.Integer(required=True, metadata={"example": 1})
    username = ma.fields.String(required=True, metadata={"example": "amina.k"})
    picture_url = ma.fields.String(required=True, allow_none=True)


class CommentSchema(Schema):
    id = ma.fields.Integer(attribute="comment.id", required=True, metadata={"example": 21})
    item_id = ma.fields.Integer(
        attribute="comment.product_id", required=True, metadata={"example": 7}
    )
    user = ma.fields.Nested(CommentAuthorSchema, attribute="comment.user", required=True)
    body = ma.fields.String(attribute="comment.body", required=True, metadata=_BODY)
    rating = ma.fields.Integer(
        attribute="comment.rating", required=True, allow_none=True, metadata=_RATING
    )
    verified_purchase = ma.fields.Boolean(
        required=True, metadata={"description": "Its author bought the product, and paid."}
    )
    created_at = Timestamp(
        attribute="comment.created_at",
        required=True,
        metadata={"format": "date-time", "type": "string"},
    )
