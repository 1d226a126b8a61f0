"""A picture inside JSON, for clients that cannot send forms."""

import binascii
import re
from base64 import b64decode
from typing import Any

import marshmallow as ma

from app.schemas.base import Schema

_DATA_URL = re.compile(r"data:[\w.+/-]{0,80}(?:;[\w=.-]{1,40}){0,3};base64,", re.ASCII)
_LINE_BREAKS = {ord("\r"): None, ord("\n"): None}
EXAMPLE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N"
    "70a4AAAAAElFTkSuQmCC"
)


class Base64File(ma.fields.Field[bytes]):
    """A file in base64, bare or as a ``data:`` URL; what kind it is, its content tells."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": "Must be a file in base64, or a data: URL with ;base64.",
        "empty": "Must not be empty.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_kwargs: Any) -> bytes:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value)
        head = _DATA_URL.match(value)
        digits = value[head.end() :] if head else value
        if "\n" in digits:  # some tools break it into lines
            digits = digits.translate(_LINE_BREAKS)
        try:
            content = b64decode(digits, validate=True)
        except (binascii.Error, ValueError):
            raise self.make_error("invalid", input=value) from None
        if not content:
            raise self.make_error("empty")
        return content


class PictureSchema(Schema):
    """A picture in JSON. A form with the file itself is a third smaller."""

    image_base64 = Base64File(
        required=True,
        metadata={
            "type": "string",
            "description": "A JPEG, PNG, WebP or GIF in base64, with or without `data:…;base64,`.",
            "example": EXAMPLE,
        },
    )

    @ma.post_load
    def _content(self, data: dict[str, Any], **_kwargs: Any) -> bytes:
        content: bytes = data["image_base64"]
        return content
