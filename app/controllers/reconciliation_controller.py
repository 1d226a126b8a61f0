"""M-Pesa's own books: the portal's statement brought in, and the comparison with ours."""

from app.context import current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.csv_uploads import csv_body, uploaded_csv
from app.db import reading
from app.jobs.import_statement import MOST_LINES_SENT, StatementReport, import_statement
from app.jobs.rules import mpesa_numbers
from app.policies import Role
from app.schemas.reconciliation import (
    LARGEST_STATEMENT_BYTES,
    ReconciliationQuery,
    ReconciliationSchema,
    StatementReportSchema,
)
from app.security import current_actor, require_role
from app.services.reconciliation import Report, reconcile, yesterday_span
from app.services.statements import Span

reconciliation = Blueprint(
    "reconciliation", __name__, description="M-Pesa's own books beside the shop's."
)

_EXAMPLE = (
    "Receipt No.,Completion Time,Details,Transaction Status,Paid In,Withdrawn,Reason Type,"
    "Other Party Info,A/C No.\r\n"
    "UKM4Q7XYZ1,22-11-2026 09:30:00,Pay Bill Online from 2547****678 - WANJIKU Acc. K7M2Q9X,"
    "Completed,1500.00,,Pay Bill Online,2547****678 - WANJIKU,K7M2Q9X\r\n"
)


@reconciliation.post("/statements")
@require_role(Role.ADMIN)
@reconciliation.doc(requestBody=csv_body(_EXAMPLE))
@reconciliation.response(200, StatementReportSchema)
def take_statement() -> StatementReport:
    """Bring in the organisation statement that M-Pesa's portal exports, of at most 10 MiB and
    50,000 lines, as the field `file` of a form or as the body itself.

    Money in it that the shop has not heard of is counted for its order, or waits for a person.
    Charges and what went out are kept and are no money in. The same file once more changes
    nothing, so no `Idempotency-Key` is taken. See `docs/reconciliation.md`.
    """
    with uploaded_csv(LARGEST_STATEMENT_BYTES) as sent:
        return import_statement(
            current_work(), current_actor(), sent.file, sent.name, most_lines=MOST_LINES_SENT
        )


@reconciliation.get("/reconciliation")
@require_role(Role.ADMIN)
@reconciliation.arguments(ReconciliationQuery, location="query")
@reconciliation.response(200, ReconciliationSchema)
def compare(span: Span | None) -> Report:
    """Payments and refunds of yesterday, of a day, or of at most 92 days, as M-Pesa's books and
    ours show them.
    """
    with reading(may_pause=True) as session:
        wanted = span or yesterday_span(now())
        return reconcile(session, wanted, mpesa_numbers(current_config()), now())
