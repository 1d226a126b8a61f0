"""The jobs by name, as the doorbell calls them, and the sweep that finds what no bell announced.

Every job may run twice, or beside itself, and ends as if it had run once.
"""

from collections.abc import Callable, Mapping

import structlog

from app.jobs.check_claim import check_claim, check_undecided_claims
from app.jobs.check_payment import check_due_payments, check_payment
from app.jobs.daily_report import report_when_due
from app.jobs.deliver_webhooks import deliver_due_webhooks, deliver_webhooks
from app.jobs.expire_orders import expire_due_orders
from app.jobs.heartbeat import note_heartbeat
from app.jobs.nightly_audit import audit_when_due
from app.jobs.pictures import erase_unwanted_pictures
from app.jobs.process_message import process_backlog, process_message, process_waiting_messages
from app.jobs.pull_statements import pull_when_due
from app.jobs.refunds import check_due_refunds, check_refund
from app.jobs.tidy import delete_expired_rows
from app.jobs.work import Work

log = structlog.get_logger()
Job = Callable[[Work, int], None]

JOBS: Mapping[str, Job] = {
    "process_message": process_message,
    "process_backlog": process_backlog,
    "check_payment": check_payment,
    "check_refund": check_refund,
    "check_claim": check_claim,
    "deliver_webhooks": deliver_webhooks,
}
_SWEEPS: tuple[Callable[[Work], bool | None], ...] = (
    note_heartbeat,
    process_waiting_messages,
    check_due_payments,
    check_due_refunds,
    check_undecided_claims,
    expire_due_orders,
    deliver_due_webhooks,
    erase_unwanted_pictures,
    delete_expired_rows,
    pull_when_due,
    report_when_due,
    audit_when_due,
)
"""What a customer waits for comes first. None goes on for as long as there is work: one that cannot
keep up would keep all that follow from their turn. It answers True, and has its turn again soon.
"""


def sweep(work: Work) -> bool:
    """Do the work that is due, whoever should have done it; True where more may be due at once.
    One part's failure stops no other.
    """
    is_more = False
    for part in _SWEEPS:
        try:
            is_more |= part(work) is True
        except Exception:
            log.exception("sweep_failed", part=part.__name__)
    return is_more
