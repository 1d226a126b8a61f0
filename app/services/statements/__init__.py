"""M-Pesa's own books: read from its portal's file or its list, kept, and counted where we lack
money that stands in them.
"""

from app.services.statements.details import kind_of, kind_of_pulled, receipt_in
from app.services.statements.file import StatementFile
from app.services.statements.imports import (
    LATE_ROWS,
    NewImport,
    Span,
    begin_import,
    drop_if_nothing_new,
    end_import,
    gaps_between,
    join_spans,
    pulled_until,
    shop_began,
)
from app.services.statements.keep import (
    facts_of,
    find_undone,
    keep_lines,
    lines_to_receive,
)
from app.services.statements.lines import BookLine, LineFault, PassedOver, Tally
from app.services.statements.places import BEGINNING, BrokenOff, Place, find_broken_off, note_place
from app.services.statements.refund_evidence import find_proofs
from app.services.statements.whose import Numbers, require_ours, span_of

__all__ = [
    "BEGINNING",
    "LATE_ROWS",
    "BookLine",
    "BrokenOff",
    "LineFault",
    "NewImport",
    "Numbers",
    "PassedOver",
    "Place",
    "Span",
    "StatementFile",
    "Tally",
    "begin_import",
    "drop_if_nothing_new",
    "end_import",
    "facts_of",
    "find_broken_off",
    "find_proofs",
    "find_undone",
    "gaps_between",
    "join_spans",
    "keep_lines",
    "kind_of",
    "kind_of_pulled",
    "lines_to_receive",
    "note_place",
    "pulled_until",
    "receipt_in",
    "require_ours",
    "shop_began",
    "span_of",
]
