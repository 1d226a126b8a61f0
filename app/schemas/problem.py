"""How a refusal looks, for the documentation: RFC 9457. The error handlers write it."""

import marshmallow as ma

from app.schemas.base import Schema


class FieldProblemSchema(Schema):
    field = ma.fields.String(required=True, metadata={"example": "products.0.quantity"})
    message = ma.fields.String(required=True, metadata={"example": "Must be a whole number."})


class ProblemSchema(Schema):
    """Every error has this shape; some carry members of their own beside."""

    class Meta:
        unknown = ma.INCLUDE

    type = ma.fields.String(
        required=True, metadata={"format": "uri-reference", "example": "/docs#error-invalid_input"}
    )
    title = ma.fields.String(required=True, metadata={"example": "Invalid input"})
    status = ma.fields.Integer(required=True, metadata={"example": 400})
    detail = ma.fields.String(
        required=True, metadata={"description": "A sentence that says what to do."}
    )
    code = ma.fields.String(
        required=True,
        metadata={"description": "Stable; made for programs.", "example": "invalid_input"},
    )
    errors = ma.fields.List(ma.fields.Nested(FieldProblemSchema), required=True)
    request_id = ma.fields.String(
        required=True, metadata={"description": "Name it when you ask for help."}
    )
