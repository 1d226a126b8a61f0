"""Keeping the pace of questions to Safaricom, over all workers together."""

import time
from datetime import timedelta

from app.jobs.work import Work
from app.services.due_payments import reserve_query_slot
from app.services.leases import Leased, give_back

LONGEST_WAIT_FOR_A_SLOT = timedelta(seconds=2)


def wait_for_slot(work: Work, model: Leased, row_id: int) -> bool:
    """Wait for the turn of a row that was claimed. One that is far off is left to the next sweep:
    then the row is given back, and the answer is False.
    """
    now = work.now()
    with work.database.transaction() as session:
        slot, is_ours = reserve_query_slot(
            session, now, work.config.mpesa_queries_per_second, LONGEST_WAIT_FOR_A_SLOT
        )
        if not is_ours:
            give_back(session, model, row_id, slot)
            return False
    time.sleep(max(0.0, (slot - now).total_seconds()))
    return True
