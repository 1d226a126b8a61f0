"""The catalogue as a file of rows: read from three shops' spreadsheets, written as our own."""

from app.services.catalogue_csv.export import (
    ExportRequest,
    export_cells,
    export_line,
    read_export_page,
)
from app.services.catalogue_csv.layouts import (
    CsvFormat,
    Layout,
    find_layout,
    line_reader,
)
from app.services.catalogue_csv.lines import CsvFile
from app.services.catalogue_csv.rows import (
    ImportReport,
    Line,
    ProductRow,
    Result,
    RowFault,
    RowReader,
    Seen,
    Skip,
)
from app.services.catalogue_csv.save_rows import save_rows

__all__ = [
    "CsvFile",
    "CsvFormat",
    "ExportRequest",
    "ImportReport",
    "Layout",
    "Line",
    "ProductRow",
    "Result",
    "RowFault",
    "RowReader",
    "Seen",
    "Skip",
    "export_cells",
    "export_line",
    "find_layout",
    "line_reader",
    "read_export_page",
    "save_rows",
]
