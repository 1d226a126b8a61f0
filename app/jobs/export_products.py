"""The catalogue as a file that is written while it is read."""

import codecs
from collections.abc import Iterator

from app.jobs.work import Work
from app.services.catalogue_csv import (
    ExportRequest,
    export_cells,
    export_line,
    read_export_page,
)


def export_products(work: Work, wanted: ExportRequest) -> Iterator[bytes]:
    """The file in pieces, of which the first comes after the first page was read.

    Each page is a reading of its own: a slow reader holds no connection. Products that are added
    or changed meanwhile may or may not be seen; none is seen twice.
    """
    head = export_line(wanted.columns).encode()
    if wanted.excel:
        head = codecs.BOM_UTF8 + head
    last_id = 0
    while True:
        with work.database.reading() as session:
            products = read_export_page(session, wanted, last_id)
        lines = [export_line(export_cells(wanted, product)) for product in products]
        yield head + "".join(lines).encode()
        if not products:
            return
        head, last_id = b"", products[-1].id
