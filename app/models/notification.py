from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, BigId, Code, Id, Moment, When, refers_to, table

_UNREAD = text("read_at IS NULL")


class Notification(Base):
    """A plain message to one user about what happened in the shop, and what it is about."""

    __tablename__ = "notifications"
    __table_args__ = table(
        Index("ix_notifications_user_id_id", "user_id", "id"),
        Index(
            "ix_notifications_unread",
            "user_id",
            "id",
            sqlite_where=_UNREAD,
            postgresql_where=_UNREAD,
        ),
        Index("ix_notifications_task_id", "task_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[int] = refers_to("users.id")
    kind: Mapped[Code]
    title: Mapped[str] = mapped_column(String(120))
    body: Mapped[str] = mapped_column(Text)
    order_id: Mapped[int | None] = refers_to("orders.id")
    product_id: Mapped[int | None] = refers_to("products.id")
    task_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("tasks.id", ondelete="SET NULL"))
    created_at: Mapped[When]
    read_at: Mapped[datetime | None] = mapped_column(Moment)
