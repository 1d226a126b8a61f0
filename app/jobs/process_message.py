"""Reading a kept message and acting on it: one transaction, so that both happen or neither."""

from collections.abc import Callable, Iterable, Mapping
from time import sleep

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.jobs.hear_answer import hear_answer
from app.jobs.hear_callback import hear_callback
from app.jobs.hear_confirmation import hear_confirmation
from app.jobs.heard import Heard
from app.jobs.work import Work
from app.models import InboxMessage, InboxSource
from app.services.inbox import (
    claim_message,
    find_waiting_messages,
    finish_message,
    note_unstuck,
    report_stuck_message,
)
from app.utils.failpoints import failpoint

RING_EVERY_SECONDS = 0.1
"""How often a web process asks for help with more messages than it has room for."""

_MOST_PER_BELL = 500

log = structlog.get_logger()

_LISTENERS: Mapping[str, Callable[[Session, Work, InboxMessage], Heard]] = {
    InboxSource.STK_CALLBACK: hear_callback,
    InboxSource.UNSIGNED_CALLBACK: hear_callback,
    InboxSource.C2B_CONFIRMATION: hear_confirmation,
    InboxSource.API_RESULT: hear_answer,
    InboxSource.QUEUE_TIMEOUT: hear_answer,
}
"""Who reads a message, by the door that it came through."""


def process_message(work: Work, message_id: int) -> None:
    """Act on one message of the inbox. Whoever comes second finds nothing to do."""
    try:
        heard = _process(work, message_id)
    except (OperationalError, InterfaceError, PoolTimeout):
        raise  # the database stutters: the sweep comes back to the message
    except Exception as error:
        log.exception("message_stuck", message_id=message_id)
        with work.database.transaction() as session:
            report_stuck_message(session, message_id, repr(error)[:500], work.now())
        return
    if heard is not None and heard.then is not None:
        heard.then(work)


def process_backlog(work: Work, message_id: int) -> None:
    """Act on what waits: the bell was rung for one message, and stands for all that came within
    RING_EVERY_SECONDS of it. Each is tried once, and after a good many the bell is rung again, so
    that other work, and the end of this worker, do not wait long.
    """
    tried: set[int] = set()
    has_paused = False
    while len(tried) < _MOST_PER_BELL:
        with work.database.reading() as session:
            found = find_waiting_messages(session, work.now(), for_seconds=0)
        fresh = [one for one in found if one not in tried]
        if fresh:
            _process_each(work, fresh)
            tried.update(fresh)
        elif has_paused:
            return
        else:
            sleep(2 * RING_EVERY_SECONDS)  # for those whose bell was not rung
            has_paused = True
    work.ports.doorbell.ring("process_backlog", message_id)


def process_waiting_messages(work: Work) -> None:
    """Act on every message that the request which brought it did not finish.

    One that cannot be processed now keeps no other waiting.
    """
    with work.database.reading() as session:
        waiting = find_waiting_messages(session, work.now())
    _process_each(work, waiting)


def _process_each(work: Work, message_ids: Iterable[int]) -> None:
    for message_id in message_ids:
        try:
            process_message(work, message_id)
        except (OperationalError, InterfaceError, PoolTimeout):
            log.exception("message_left_for_later", message_id=message_id)


def _process(work: Work, message_id: int) -> Heard | None:
    """What the message did; None where another hand has it, or had it."""
    with work.database.transaction() as session:
        message = claim_message(session, message_id)
        if message is None:
            return None
        heard = _LISTENERS[message.source](session, work, message)
        failpoint("in_settlement")
        finish_message(message, heard.outcome, work.now())
        note_unstuck(session, message, work.now())
    log.info(
        "message_processed", message_id=message_id, source=message.source, outcome=heard.outcome
    )
    return heard
