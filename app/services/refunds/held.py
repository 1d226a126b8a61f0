"""Whether refunds are held since a restore, and what a refund that is held waits for."""

from datetime import datetime, timedelta

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.models import Refund, Restore
from app.services.refunds.move_refund import Step, record_refund_event

LOOK_AGAIN = timedelta(minutes=10)
HELD = (
    "It waits: the shop was restored from a backup, and M-Pesa's statement of the time since then"
    " is to be read first (payments release-refunds)."
)


def refunds_are_held(session: Session) -> bool:
    """Whether the shop may have forgotten refunds that it sent: none is sent meanwhile."""
    return bool(session.scalar(select(exists().where(Restore.refunds_released_at.is_(None)))))


def keep_waiting(session: Session, refund: Refund, now: datetime) -> None:
    """Leave a refund that is to be sent as it is, for a while, and say why."""
    refund.next_check_at, refund.leased_until = now + LOOK_AGAIN, None
    if refund.result_desc != HELD:
        refund.result_desc = HELD
        record_refund_event(session, refund, refund.state, Step("restore", detail=HELD), now)
    session.flush()
