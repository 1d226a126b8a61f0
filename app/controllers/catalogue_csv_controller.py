"""The catalogue as a spreadsheet, in and out, under each name of the catalogue."""

from collections.abc import Callable
from itertools import chain
from typing import Any, TypeVar

from flask import Response

from app.context import current_work
from app.controllers.blueprint import Blueprint
from app.controllers.csv_uploads import csv_body, uploaded_csv
from app.errors import Forbidden
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

_EXAMPLE = "sku,name,price,stock,category\r\nSHOE-42,Trail running shoe,1499.50,12,Shoes\r\n"
_TEXT = {"type": "string", "example": _EXAMPLE}
_UPLOAD = csv_body("sku,name,price,stock\r\nSHOE-42,Trail running shoe,1499.50,12\r\n")
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
    with uploaded_csv(LARGEST_FILE_BYTES) as sent:
        return import_products(current_work(), actor, sent.file, read_row, rules)


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
