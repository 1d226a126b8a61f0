"""What the shop told the caller."""

from typing import Any

import marshmallow as ma
from flask import Response

from app.context import now
from app.controllers.blueprint import Blueprint
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.schemas.base import page_of
from app.schemas.notification import NotificationQuery, NotificationSchema
from app.security import current_actor, require_user
from app.services.notifications import (
    count_unread,
    list_notifications,
    mark_all_read,
    mark_read,
)

notifications = Blueprint("notifications", __name__, description="What the shop told you.")
_unread_count = ma.fields.Integer(
    required=True, metadata={"description": "Of all, not of this page.", "example": 1}
)


@notifications.get("/notifications")
@require_user
@notifications.arguments(NotificationQuery, location="query")
@notifications.response(200, page_of(NotificationSchema, unread_count=_unread_count))
def get_notifications(query: dict[str, Any]) -> Response:
    """Your own, newest first, and how many of them you have not read."""
    with reading() as session:
        page = list_notifications(session, current_actor(), **query)
        unread_count = count_unread(session, current_actor())
    return page_response(page, NotificationSchema, unread_count=unread_count)


@notifications.post("/notifications/<id:notification_id>/read")
@require_user
@notifications.response(204)
def read_notification(notification_id: int) -> None:
    """You have read it; saying so again changes nothing."""
    with transaction() as session:
        mark_read(session, current_actor(), notification_id, now())


@notifications.post("/notifications/read-all")
@require_user
@notifications.response(204)
def read_all_notifications() -> None:
    """You have read everything so far."""
    with transaction() as session:
        mark_all_read(session, current_actor(), now())
