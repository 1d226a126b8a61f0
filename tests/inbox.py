"""Messages in the inbox, as objects of the session that they are put into."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import InboxMessage
from app.services.inbox import ReceivedMessage, store_message


def keep_message(session: Session, message: ReceivedMessage, now: datetime) -> InboxMessage:
    return session.get_one(InboxMessage, store_message(session, message, now))
