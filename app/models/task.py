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
    OVER_PAYMENT = "over_payment"
    UNMATCHED_MONEY = "unmatched_money"
    PAYMENT_CLAIM = "payment_claim"
    REFUND_APPROVAL = "refund_approval"
    REFUND_FAILED = "refund_failed"
    UNKNOWN_REFUND = "unknown_refund"
    STATEMENT_DIFFERENCE = "statement_difference"
    BROKEN_INVARIANT = "broken_invariant"
    WEBHOOK_FAILING = "webhook_failing"


MONEY_TASKS = tuple(
    kind
    for kind in TaskKind
    if kind not in {TaskKind.MANUAL, TaskKind.MPESA_CONFIGURATION, TaskKind.WEBHOOK_FAILING}
)
"""The kinds that are about money which only a person can decide: the office's exceptions."""


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
        Index("ix_tasks_refund_id", "refund_id"),
        Index("ix_tasks_receipt", "receipt"),
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
    refund_id: Mapped[int | None] = refers_to("refunds.id")
    receipt: Mapped[str | None] = mapped_column(String(20))
    dedupe_key: Mapped[str | None] = mapped_column(String(100), unique=True)
    created_at: Mapped[When]
    updated_at: Mapped[When]


class Decision(Base):
    """What was done about a task of the shop's, by whom and why. Never updated.

    ``actor_id`` is empty where later news solved it without a person.
    """

    __tablename__ = "decisions"
    __table_args__ = table(Index("ix_decisions_task_id_id", "task_id", "id"))

    id: Mapped[Id]
    task_id: Mapped[int] = refers_to("tasks.id")
    actor_id: Mapped[int | None] = refers_to("users.id")
    action: Mapped[Code]
    reason: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[When]
