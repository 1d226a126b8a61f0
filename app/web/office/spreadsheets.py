"""Many products at once: a spreadsheet brought in, and all of them taken out as one."""

from io import BytesIO
from itertools import chain

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_work
from app.errors import AppError
from app.jobs.export_products import export_products
from app.jobs.import_products import ImportRules, import_products
from app.policies import Role
from app.schemas.catalogue_csv import LARGEST_FILE_BYTES, read_row
from app.security import current_actor
from app.services.catalogue_csv import ExportRequest, ImportReport
from app.web.language import gettext
from app.web.office.blueprint import office
from app.web.pages import Form, done, page, sent_file, show_again, takes_upload
from app.web.visitors import role_page

MOST_SHOWN = 200
"""Rows that a page names; a person mends the first and sends the file again."""


@office.get("/office/products/import")
@role_page(Role.SELLER, Role.ADMIN)
def import_page() -> AnyResponse:
    """Where a spreadsheet is chosen."""
    return _page(Form())


@office.post("/office/products/import")
@role_page(Role.SELLER, Role.ADMIN)
@takes_upload(lambda _config: LARGEST_FILE_BYTES)
def take_spreadsheet() -> AnyResponse:
    """Say what a file would do; or, where that is asked for, do it."""
    wanted = request.form.get("step") == "import"
    try:
        report = _take(sent_file("file", LARGEST_FILE_BYTES), dry_run=not wanted)
    except AppError as refusal:
        values = {**request.form, "file": ""}
        return show_again(refusal, lambda form: _page(form).get_data(as_text=True), values)
    if not wanted:
        return _page(Form(request.form.to_dict()), report)
    return done(_outcome(report), "office.products")


def _take(content: bytes, *, dry_run: bool) -> ImportReport:
    actor = current_actor()
    makes_categories = actor.is_admin and request.form.get("create_categories") == "true"
    rules = ImportRules(dry_run, actor if makes_categories else None)
    return import_products(current_work(), actor, BytesIO(content), read_row, rules)


def _outcome(report: ImportReport) -> str:
    message = gettext("New: %(created)s. Changed: %(updated)s. As they were: %(unchanged)s.") % {
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
    }
    if report.failed:
        left_out = gettext("Rows left out: %(failed)s. Check the same file to see why.")
        message += " " + left_out % {"failed": report.failed}
    return message


@office.get("/office/products/export.csv")
@role_page(Role.SELLER, Role.ADMIN)
def export() -> AnyResponse:
    """One's own products, or for an admin all, as a file that the import takes back."""
    wanted = ExportRequest.of(current_actor(), excel=request.args.get("excel") == "true")
    pieces = export_products(current_work(), wanted)
    first = next(pieces)  # a database that does not answer is still a page that says so
    response = Response(chain([first], pieces), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="products.csv"'
    return response


def _page(form: Form, report: ImportReport | None = None) -> Response:
    return page(
        "office/import.html",
        form=form,
        report=report,
        most_shown=MOST_SHOWN,
        for_people=_for_people,
    )


def _for_people(message: str) -> str:
    """A sentence of the report without what it tells programs to ask the API."""
    return gettext(message.partition(" GET /")[0])
