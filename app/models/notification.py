from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Code, Id, Moment, When, refers_to, table


class Notification(Base):
    """A plain message to one user about what happened in the shop."""

    __tablename__ = "notifications"
    __table_args__ = table(Index("ix_notifications_user_id_id", "user_id", "id"))

    id: Mapped[Id]
    user_id: Mapped[int] = refers_to("users.id")
    kind: Mapped[Code]
    title: Mapped[str] = mapped_column(String(120))
    body: Mapped[str] = mapped_column(Text)
    order_id: Mapped[int | None] = refers_to("orders.id")
    created_at: Mapped[When]
    read_at: Mapped[datetime | None] = mapped_column(Moment)
