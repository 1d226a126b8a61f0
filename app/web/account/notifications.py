"""What the shop told the visitor."""

from flask import request
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.security import current_actor
from app.services.notifications import list_notifications, mark_all_read, mark_read
from app.web.account.blueprint import account
from app.web.language import gettext
from app.web.pages import asked_page, done, next_address, page
from app.web.visitors import user_page


@account.get("/account/notifications")
@user_page
def notifications() -> AnyResponse:
    """Newest first; the unread ones alone with ?unread=true."""
    only_unread = request.args.get("unread") == "true"
    with reading() as session:
        found = list_notifications(
            session, current_actor(), asked_page(), unread=True if only_unread else None
        )
    return page(
        "account/notifications.html",
        notifications=found.rows,
        next=next_address(found.next_cursor),
        only_unread=only_unread,
    )


@account.post("/account/notifications/<id:notification_id>/read")
@user_page
def read_notification(notification_id: int) -> AnyResponse:
    """Note that one was read."""
    with transaction() as session:
        mark_read(session, current_actor(), notification_id, now())
    return done(gettext("Marked as read."), "account.notifications")


@account.post("/account/notifications/read-all")
@user_page
def read_all_notifications() -> AnyResponse:
    """Note that all of them were read."""
    with transaction() as session:
        mark_all_read(session, current_actor(), now())
    return done(gettext("All are marked as read."), "account.notifications")
