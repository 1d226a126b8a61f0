"""Yesterday's payments and refunds beside M-Pesa's books, each morning."""

import structlog

from app.jobs.rules import mpesa_numbers
from app.jobs.turns import take_turn
from app.jobs.work import Work
from app.services.paces import move_pace
from app.services.reconciliation import (
    Report,
    file_differences,
    reconcile,
    tell_admins,
    yesterday_span,
)
from app.utils.clock import next_hour_in_nairobi

REPORT_PACE = "daily_report"
HOUR = 7
"""By then what came late in the evening stands in M-Pesa's list."""

LEASE_SECONDS = 600.0

log = structlog.get_logger(__name__)


def report_when_due(work: Work) -> None:
    """Make the report if it is time and no other worker is at it."""
    if take_turn(work, REPORT_PACE, LEASE_SECONDS):
        report_yesterday(work)


def report_yesterday(work: Work) -> Report:
    """Compare yesterday, file what does not match, and tell the administrators once."""
    now = work.now()
    yesterday = yesterday_span(now)
    with work.database.reading(may_pause=True) as session:
        report = reconcile(session, yesterday, mpesa_numbers(work.config), now)
    with work.database.transaction() as session:
        filed = file_differences(session, report, now)
        told = tell_admins(session, report, now)
        move_pace(session, REPORT_PACE, next_hour_in_nairobi(now, HOUR), now)
    log.info(
        "day_reconciled",
        since=yesterday.since,
        is_clean=report.is_clean,
        matched=report.payments.matched.count,
        filed=filed,
        told=told,
    )
    return report
