from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Id, Moment, When, refers_to, table


class Restore(Base):
    """The shop went back to what it was at ``backup_made_at``, and forgot what came after.

    Until ``refunds_released_at`` no refund is sent: of what went out meanwhile no row is left.
    ``released_by`` is empty where somebody released them on the command line, or nothing was held.
    """

    __tablename__ = "restores"
    __table_args__ = table(
        CheckConstraint("restored_at >= backup_made_at", name="after_its_backup"),
        Index("ix_restores_refunds_released_at", "refunds_released_at"),
    )

    id: Mapped[Id]
    backup_name: Mapped[str] = mapped_column(String(200))
    backup_made_at: Mapped[When]
    restored_at: Mapped[When]
    refunds_released_at: Mapped[datetime | None] = mapped_column(Moment)
    released_by: Mapped[int | None] = refers_to("users.id")
    release_reason: Mapped[str | None] = mapped_column(String(500))
