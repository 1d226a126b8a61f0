"""M-Pesa's books beside ours."""

from app.services.reconciliation.differences import file_differences
from app.services.reconciliation.report import day_span, reconcile, yesterday_span
from app.services.reconciliation.tell import describe, tell_admins
from app.services.reconciliation.values import MOST_ROWS, Cover, Group, Report, Row, Side

__all__ = [
    "MOST_ROWS",
    "Cover",
    "Group",
    "Report",
    "Row",
    "Side",
    "day_span",
    "describe",
    "file_differences",
    "reconcile",
    "tell_admins",
    "yesterday_span",
]
