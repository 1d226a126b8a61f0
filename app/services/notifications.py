"""What the shop told a user: each reads their own, and nobody else's."""

from datetime import datetime

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Notification
from app.policies import Actor, own_notifications
from app.services.pages import Page, PageRequest, SortKey, paginate


def list_notifications(
    session: Session, actor: Actor, page: PageRequest, *, unread: bool | None = None
) -> Page[Notification]:
    """Newest first; ``unread`` False: only those that were read."""
    statement = select(Notification).where(own_notifications(actor))
    if unread is not None:
        is_unread = Notification.read_at.is_(None)
        statement = statement.where(is_unread if unread else ~is_unread)
    return paginate(session, statement, [SortKey(Notification.id, descending=True)], page)


def count_unread(session: Session, actor: Actor) -> int:
    return session.execute(
        select(func.count())
        .select_from(Notification)
        .where(own_notifications(actor), Notification.read_at.is_(None))
    ).scalar_one()


def mark_read(session: Session, actor: Actor, notification_id: int, now: datetime) -> None:
    """Note when it was first read; reading again changes nothing. Raises NotFound."""
    mine = own_notifications(actor) & (Notification.id == notification_id)
    if not session.scalar(select(exists().where(mine))):
        raise NotFound("There is no such notification.", code="notification_not_found")
    session.execute(
        update(Notification)
        .where(mine, Notification.read_at.is_(None))
        .values(read_at=now)
        .execution_options(synchronize_session=False)
    )


def mark_all_read(session: Session, actor: Actor, now: datetime) -> None:
    """Everything that has been told so far."""
    session.execute(
        update(Notification)
        .where(own_notifications(actor), Notification.read_at.is_(None))
        .values(read_at=now)
        .execution_options(synchronize_session=False)
    )
