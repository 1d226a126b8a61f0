"""Sending webhooks: claimed in one transaction, sent outside of any, recorded in another.

A worker that dies after sending and before recording leaves a lease that ends: the event is sent
again under the same id, by which its receiver knows it.
"""

import structlog

from app.jobs.work import Work
from app.ports import WebhookRequest
from app.services.webhooks.due import Claimed, claim_delivery, endpoints_with_due_deliveries
from app.services.webhooks.emit import JOB
from app.services.webhooks.outcome import record_outcome
from app.services.webhooks.signing import signed_headers
from app.utils.failpoints import failpoint

LEASE_SECONDS = 60.0
_SOON_SECONDS = 60.0

log = structlog.get_logger(__name__)


def deliver_webhooks(work: Work, endpoint_id: int) -> None:
    """Send what is due to one endpoint, one after the other, in a lane of its own: an endpoint that
    is slow, down or far behind keeps no other waiting, nor any other job.
    """
    work.ports.run_beside(f"webhook-{endpoint_id}", lambda: _deliver_next(work, endpoint_id))


def deliver_due_webhooks(work: Work) -> None:
    """Send everything that is due, to each endpoint in its lane."""
    with work.database.reading() as session:
        waiting = endpoints_with_due_deliveries(session, work.now())
    for endpoint_id in waiting:
        deliver_webhooks(work, endpoint_id)


def _deliver_next(work: Work, endpoint_id: int) -> bool:
    """Whether something was sent, and more may wait. What fails here is left to the sweep."""
    try:
        with work.database.transaction() as session:
            claimed = claim_delivery(session, endpoint_id, work.now(), LEASE_SECONDS)
        if claimed is not None:
            _deliver(work, claimed)
    except Exception:
        log.exception("webhook_stuck", webhook_id=endpoint_id)
        return False
    return claimed is not None


def _deliver(work: Work, claimed: Claimed) -> None:
    headers = signed_headers(claimed.event_id, claimed.payload, claimed.secrets, work.now())
    answer = work.ports.webhooks.send(
        WebhookRequest(claimed.url, headers, claimed.payload.encode())
    )
    failpoint("after_webhook")
    now = work.now()
    with work.database.transaction() as session:
        again_at = record_outcome(session, claimed, answer, now)
    log.info(
        "webhook_sent",
        webhook_id=claimed.endpoint_id,
        event_id=claimed.event_id,
        status=answer.status,
        error=answer.error,
        duration_ms=answer.duration_ms,
    )
    if again_at is not None:
        delay = (again_at - now).total_seconds()
        if delay <= _SOON_SECONDS:
            work.ports.doorbell.ring(JOB, claimed.endpoint_id, delay_seconds=delay)
