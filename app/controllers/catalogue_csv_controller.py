"""The catalogue as a spreadsheet, in and out, under each name of the catalogue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

from flask import Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

from app.context import current_work
from app.controllers.blueprint import Blueprint
from app.errors import Forbidden, InvalidInput
from app.jobs.export_products import export_products
from app.jobs.import_products import ImportRules, import_products
from app.policies import Role
from app.schemas.catalogue_csv import (
    LARGEST_FILE_BYTES,
    ExportQuery,
    ImportQuery,
    ImportReportSchema,
    read_row,
)
from app.security import current_actor, require_role
from app.services.catalogue_csv import ExportRequest, ImportReport

View = TypeVar("View", bound=Callable[..., Any])

_IN_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 64 * 1024
_FIELD = "file"
_EXAMPLE = "sku,name,price,stock,category\r\nSHOE-42,Trail running shoe,1499.50,12,Shoes\r\n"
_TEXT = {"type": "string", "example": _EXAMPLE}
_UPLOAD = {
    "required": True,
    "content": {
        "text/csv": {
            "schema": _TEXT,
            "example": "sku,name,price,stock\r\nSHOE-42,Trail running shoe,1499.50,12\r\n",
        },
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {_FIELD: {"type": "string", "format": "binary"}},
                "required": [_FIELD],
            }
        },
    },
}

spreadsheets = Blueprint(
    "spreadsheets",
    __name__,
    description="The catalogue as a CSV file: ours, or what WooCommerce and Shopify export.",
)


def _route(rule: str, method: str) -> Callable[[View], View]:
    """One view under both names of the catalogue."""

    def register(view: View) -> View:
        for name in ("items", "products"):
            spreadsheets.route(f"/{name}{rule}", methods=[method])(view)
        return view

    return register


@_route("/import", "POST")
@require_role(Role.SELLER, Role.ADMIN)
@spreadsheets.doc(requestBody=_UPLOAD)
@spreadsheets.arguments(ImportQuery, location="query")
@spreadsheets.response(200, ImportReportSchema)
def import_items(query: dict[str, bool]) -> ImportReport:
    """Create and change products by a file of at most 10 MiB and 50,000 rows, the body itself or
    the field `file` of a form.

    A row is about the product that its `id` or else its `sku` names; otherwise it makes a new one.
    Good rows are kept, and each bad one is answered with its reason. Sending the file again changes
    nothing more, so no `Idempotency-Key` is taken. See `docs/csv.md` for files of other shops.
    """
    actor = current_actor()
    if query["create_categories"] and not actor.is_admin:
        raise Forbidden("Only an administrator makes categories: leave out create_categories.")
    rules = ImportRules(query["dry_run"], actor if query["create_categories"] else None)
    with _uploaded_file() as file:
        return import_products(current_work(), actor, file, read_row, rules)


@_route("/export.csv", "GET")
@require_role(Role.SELLER, Role.ADMIN)
@spreadsheets.arguments(ExportQuery, location="query")
@spreadsheets.response(200, _TEXT, content_type="text/csv")
def export_items(query: dict[str, bool]) -> Response:
    """One's own products, or for an administrator all, in a file that `import` takes back. A cell
    that a spreadsheet would run as a formula begins with `'`.
    """
    wanted = ExportRequest.of(current_actor(), excel=query["excel"])
    pieces = export_products(current_work(), wanted)
    first = next(pieces)  # a database that does not answer is still a 503 here
    response = Response(chain([first], pieces), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="products.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


@contextmanager
def _uploaded_file() -> Iterator[BinaryIO]:
    """The whole file, in memory or on disk: nothing is imported of an upload that breaks off."""
    request.max_content_length = LARGEST_FILE_BYTES
    if request.mimetype == "multipart/form-data":
        yield _form_file()
        return
    if request.mimetype != "text/csv" or _charset() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(
            "Send the file with Content-Type: text/csv, in UTF-8, or as the field file of a form."
        )
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as spool:
        size = 0
        while piece := request.stream.read(_PIECE_BYTES):
            size += len(piece)
            if size > LARGEST_FILE_BYTES:
                raise RequestEntityTooLarge
            spool.write(piece)
        if request.content_length not in (None, size):
            raise ClientDisconnected("The body broke off: send it again.")
        yield cast("BinaryIO", spool)


def _form_file() -> BinaryIO:
    for name in (*request.form, *request.files):
        if name != _FIELD:
            raise InvalidInput.field(name, "There is no such field.")
    files = request.files.getlist(_FIELD)
    if len(files) != 1:
        raise InvalidInput.field(_FIELD, "Send one file, as the field file.")
    return cast("BinaryIO", files[0].stream)


def _charset() -> str:
    return request.mimetype_params.get("charset", "utf-8").lower()
