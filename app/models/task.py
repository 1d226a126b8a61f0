from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Code, Id, Moment, When, one_of, refers_to, table


class TaskStatus(StrEnum):
    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class TaskPriority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class TaskKind(StrEnum):
    """MANUAL is a person's own; the others are filed by the shop where only a person can decide."""

    MANUAL = "manual"
    LATE_MONEY = "late_money"
    DOUBLE_PAYMENT = "double_payment"
    WRONG_AMOUNT = "wrong_amount"
    MISMATCHED_CALLBACK = "mismatched_callback"
    UNREADABLE_CALLBACK = "unreadable_callback"
    UNKNOWN_PAYMENT = "unknown_payment"
    DISPUTED_PAYMENT = "disputed_payment"
    RECEIPT_CONFLICT = "receipt_conflict"
    MPESA_CONFIGURATION = "mpesa_configuration"
    STUCK_MESSAGE = "stuck_message"


class Task(Base):
    """Something to do. ``dedupe_key`` keeps the shop from filing the same matter twice.

    A task of a person has that person as its owner; what the shop filed belongs to nobody.
    """

    __tablename__ = "tasks"
    __table_args__ = table(
        one_of("status", TaskStatus),
        one_of("kind", TaskKind),
        one_of("priority", TaskPriority),
        Index("ix_tasks_owner_id_id", "owner_id", "id"),
        Index("ix_tasks_assignee_id_id", "assignee_id", "id"),
        Index("ix_tasks_order_id", "order_id"),
        Index("ix_tasks_payment_id", "payment_id"),
    )

    id: Mapped[Id]
    kind: Mapped[Code] = mapped_column(default=TaskKind.MANUAL)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[Code] = mapped_column(default=TaskStatus.TODO)
    priority: Mapped[str] = mapped_column(String(10), default=TaskPriority.NORMAL)
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    owner_id: Mapped[int | None] = refers_to("users.id")
    assignee_id: Mapped[int | None] = refers_to("users.id")
    order_id: Mapped[int | None] = refers_to("orders.id")
    payment_id: Mapped[int | None] = refers_to("payments.id")
    dedupe_key: Mapped[str | None] = mapped_column(String(100), unique=True)
    created_at: Mapped[When]
    updated_at: Mapped[When]
