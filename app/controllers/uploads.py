"""Reading one file out of a request: a form with the file in it, or JSON with its base64."""

from io import BytesIO
from typing import Any

from flask import request
from werkzeug.formparser import FormDataParser

from app.context import current_config
from app.controllers.blueprint import Blueprint
from app.errors import InvalidInput, TooLarge
from app.schemas.picture import PictureSchema

FIELDS = ("picture", "image")
"""The names under which a form may hold the file."""

_ROOM = 16 * 1024
"""What else a body holds: boundaries, headers of parts, the braces of JSON."""

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": PictureSchema},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["picture"],
                "properties": {
                    "picture": {"type": "string", "contentMediaType": "application/octet-stream"}
                },
            }
        },
    },
}
"""What the documentation says of such a request."""


def file_of_request() -> bytes:
    """The one file of this request; its name and what it claims to be are not looked at.

    These views alone take bodies beyond the limit of all others. Raises InvalidInput, TooLarge,
    and what werkzeug raises for bodies beyond their limit.
    """
    biggest = current_config().max_picture_bytes
    if request.mimetype == "multipart/form-data":
        request.max_content_length = biggest + _ROOM
        content = _from_form()
    else:
        request.max_content_length = (biggest + 2) // 3 * 4 + _ROOM
        content = Blueprint.ARGUMENTS_PARSER.parse(PictureSchema(), request, location="json")
    if len(content) > biggest:
        raise TooLarge(f"Send a picture of at most {biggest // 1024} KiB.")
    return content


def _from_form() -> bytes:
    """In memory, where it is needed anyway: a disk that is full is no reason to refuse it here."""
    parser = FormDataParser(
        stream_factory=lambda *_args, **_kwargs: BytesIO(),
        max_form_memory_size=request.max_form_memory_size,
        max_form_parts=request.max_form_parts,
        silent=False,
    )
    try:
        _, texts, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError:
        raise InvalidInput("The form is cut off or malformed.", code="invalid_form") from None
    for name in (*files, *texts):
        if name not in FIELDS:
            raise InvalidInput.field(name[:100], "There is no such field.")
        if name in texts:
            raise InvalidInput.field(name, "Send a file here, with its name.")
    found = [file for name in FIELDS for file in files.getlist(name)]
    if not found:
        raise InvalidInput.field(
            FIELDS[0], "Send the picture as a file in this field of a multipart/form-data body."
        )
    if len(found) > 1:
        raise InvalidInput.field(FIELDS[0], "Send one file.")
    content: bytes = found[0].read()
    if not content:
        raise InvalidInput.field(FIELDS[0], "The file is empty.")
    return content
