"""Messages that could not be processed, and notes that change nothing."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import InboxMessage
from app.policies import Actor
from app.services.exceptions.actions import Action
from app.services.exceptions.take_up import close, find_exception, note, take_up
from app.services.inbox import claim_message, finish_message, stuck_message_id

_DISMISSED = "dismissed"


def retry_message(session: Session, actor: Actor, task_id: int, now: datetime) -> int:
    """Have a stuck message processed again, as if it had just come; answers its id.

    The caller processes it once this is committed; if nobody does, the sweep will. The task ends
    when it succeeds. Raises NotFound, Forbidden, and Conflict: ``already_decided``,
    ``message_in_hand``, ``not_possible_now``.
    """
    message = _claim(session, actor, task_id)
    case = take_up(session, actor, task_id, Action.RETRY)
    if message is None:
        raise RuntimeError(f"Task {task_id} has no message.")
    message.attempts = 0
    note(session, actor, case, Action.RETRY, "It is tried once more.", now)
    return message.id


def dismiss_message(
    session: Session, actor: Actor, task_id: int, reason: str, now: datetime
) -> None:
    """A message that nobody needs: it is kept, and tried no more. Raises as retry_message does."""
    message = _claim(session, actor, task_id)
    case = take_up(session, actor, task_id, Action.DISMISS)
    if message is not None:
        finish_message(message, _DISMISSED, now)
    close(session, actor, case, Action.DISMISS, reason, now)


def write_note(session: Session, actor: Actor, task_id: int, text: str, now: datetime) -> None:
    """Write down what was found out so far. Raises NotFound, Forbidden, and Conflict:
    ``already_decided``.
    """
    case = take_up(session, actor, task_id, Action.NOTE)
    note(session, actor, case, Action.NOTE, text, now)


def _claim(session: Session, actor: Actor, task_id: int) -> InboxMessage | None:
    """The message, locked before its task, as whoever processes it does; None if it is done."""
    message_id = stuck_message_id(find_exception(session, actor, task_id))
    if message_id is None:
        return None
    message = claim_message(session, message_id)
    if message is None and session.get_one(InboxMessage, message_id).processed_at is None:
        raise Conflict("This message is being processed just now.", code="message_in_hand")
    return message
