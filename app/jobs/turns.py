"""Work that one worker at a time does, now and then."""

from app.jobs.work import Work
from app.services.paces import claim_pace, is_due


def take_turn(work: Work, pace: str, lease_seconds: float) -> bool:
    """Whether it is time for what has this pace, and it is ours to do.

    Who has the turn says by ``move_pace`` when the next one is. The turn of a worker that dies
    comes back when its lease is over.
    """
    with work.database.reading() as session:
        if not is_due(session, pace, work.now()):
            return False
    with work.database.transaction() as session:
        return claim_pace(session, pace, work.now(), lease_seconds)
