"""Reading one CSV file out of a request: the body itself, or a form with the file in it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, cast

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.formparser import FormDataParser

from app.errors import InvalidInput

_IN_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_FIELD = "file"


@dataclass(frozen=True, slots=True)
class SentFile:
    """The file, in memory or on disk, and the name that it had where it came from."""

    file: BinaryIO
    name: str | None


def csv_body(example: str) -> dict[str, Any]:
    """What the documentation says of such a request."""
    return {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "example": example}, "example": example},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {_FIELD: {"type": "string", "format": "binary"}},
                    "required": [_FIELD],
                }
            },
        },
    }


@contextmanager
def uploaded_csv(largest_bytes: int) -> Iterator[SentFile]:
    """The whole file: nothing is imported of an upload that breaks off."""
    request.max_content_length = largest_bytes
    if request.mimetype == "multipart/form-data":
        with ExitStack() as held:
            yield _form_file(held)
        return
    if request.mimetype != "text/csv" or _charset() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(
            "Send the file with Content-Type: text/csv, in UTF-8, or as the field file of a form."
        )
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
        size = 0
        while piece := request.stream.read(_PIECE_BYTES):
            size += len(piece)
            if size > largest_bytes:
                raise RequestEntityTooLarge
            spool.write(piece)
        if request.content_length not in (None, size):
            raise ClientDisconnected("The body broke off: send it again.")
        yield SentFile(cast("BinaryIO", spool), None)


def _form_file(held: ExitStack) -> SentFile:
    """The file of a form. What its parts wait in is closed with ``held``, also where the form is
    cut off in the middle of one.
    """

    def make_room(*_args: object, **_kwargs: object) -> IO[bytes]:
        return held.enter_context(SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))

    parser = FormDataParser(
        stream_factory=make_room,
        max_form_memory_size=request.max_form_memory_size,
        max_form_parts=request.max_form_parts,
    )
    _, texts, sent = parser.parse(
        request.stream, request.mimetype, request.content_length, request.mimetype_params
    )
    for name in (*texts, *sent):
        if name != _FIELD:
            raise InvalidInput.field(name, "There is no such field.")
    files = sent.getlist(_FIELD)
    if len(files) != 1:
        raise InvalidInput.field(_FIELD, "Send one file, as the field file.")
    return SentFile(cast("BinaryIO", files[0].stream), files[0].filename)


def _charset() -> str:
    return request.mimetype_params.get("charset", "utf-8").lower()
