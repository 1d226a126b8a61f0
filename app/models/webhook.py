"""Webhooks: who is told, of what, and how each telling went."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import (
    MAX_COUNT,
    Base,
    Code,
    Id,
    Moment,
    Quantity,
    When,
    one_of,
    refers_to,
    table,
    whole,
)


class DisabledReason(StrEnum):
    """BY_ADMIN by a person; GONE its receiver said so (410); FAILING nothing arrived for days."""

    BY_ADMIN = "by_admin"
    GONE = "gone"
    FAILING = "failing"


_NOT_REMOVED = text("removed_at IS NULL")


class WebhookEndpoint(Base):
    """An address of the merchant's own systems that events are sent to, signed with ``secret``.

    ``previous_secret`` signs beside it until ``previous_secret_until``. ``event_types`` None means
    all. ``paused_until`` is when the receiver, or its trouble, lets us go on; ``failing_since`` is
    when the first of its failures without a success between them was. A removed endpoint keeps its
    row, because deliveries name it: an event that is being written never finds it gone.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = table(
        one_of("disabled_reason", DisabledReason),
        whole("secret_version", 1, MAX_COUNT),
        CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_for_a_reason"
        ),
        CheckConstraint(
            "(previous_secret IS NULL) = (previous_secret_until IS NULL)",
            name="previous_secret_ends",
        ),
        CheckConstraint("(secret IS NULL) = (removed_at IS NOT NULL)", name="secret_until_removed"),
        Index(
            "uq_webhook_endpoints_url_in_use",
            "url",
            unique=True,
            sqlite_where=_NOT_REMOVED,
            postgresql_where=_NOT_REMOVED,
        ),
    )

    id: Mapped[Id]
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(String(200), default="")
    event_types: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    secret: Mapped[str | None] = mapped_column(String(120))
    secret_version: Mapped[Quantity] = mapped_column(default=1)
    previous_secret: Mapped[str | None] = mapped_column(String(120))
    previous_secret_until: Mapped[datetime | None] = mapped_column(Moment)
    disabled_at: Mapped[datetime | None] = mapped_column(Moment)
    disabled_reason: Mapped[Code | None]
    paused_until: Mapped[datetime | None] = mapped_column(Moment)
    failing_since: Mapped[datetime | None] = mapped_column(Moment)
    last_success_at: Mapped[datetime | None] = mapped_column(Moment)
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    created_by: Mapped[int] = refers_to("users.id")
    created_at: Mapped[When]
    updated_at: Mapped[When]

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None and self.removed_at is None


class WebhookEvent(Base):
    """Something that happened, as it is told: ``payload`` is sent as it stands here, byte for byte.

    Written in the transaction of what it tells of. Never updated.
    """

    __tablename__ = "webhook_events"
    __table_args__ = table(
        Index("ix_webhook_events_created_at_id", "created_at", "id"),
        Index("ix_webhook_events_order_id", "order_id"),
        Index("ix_webhook_events_payment_id", "payment_id"),
    )

    id: Mapped[Id]
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    type: Mapped[Code]
    payload: Mapped[str] = mapped_column(Text)
    order_id: Mapped[int | None] = refers_to("orders.id")
    payment_id: Mapped[int | None] = refers_to("payments.id")
    created_at: Mapped[When]


class DeliveryState(StrEnum):
    """PENDING is sent, or sent again, when it is due; CANCELLED lost its endpoint before that."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WebhookDelivery(Base):
    """One event on its way to one endpoint.

    ``attempt_count`` counts the attempts of the present round: a replay begins another one.
    ``leased_until`` keeps a second worker off it while one sends it. What is known of the last
    attempt stands here; all of them are webhook_attempts.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = table(
        one_of("state", DeliveryState),
        whole("attempt_count", 0, MAX_COUNT),
        whole("last_status", 0, 999),
        whole("last_duration_ms", 0, MAX_COUNT),
        CheckConstraint("(state = 'pending') = (next_attempt_at IS NOT NULL)", name="due_if_open"),
        UniqueConstraint("endpoint_id", "event_id"),
        Index("ix_webhook_deliveries_due", "endpoint_id", "next_attempt_at", "id"),
        Index("ix_webhook_deliveries_endpoint_id_leased_until", "endpoint_id", "leased_until"),
        Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
        Index("ix_webhook_deliveries_event_id", "event_id"),
    )

    id: Mapped[Id]
    endpoint_id: Mapped[int] = refers_to("webhook_endpoints.id")
    event_id: Mapped[int] = refers_to("webhook_events.id")
    state: Mapped[Code] = mapped_column(default=DeliveryState.PENDING)
    attempt_count: Mapped[Quantity] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(Moment)
    leased_until: Mapped[datetime | None] = mapped_column(Moment)
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(String(300))
    last_duration_ms: Mapped[int | None] = mapped_column(Integer)
    delivered_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[When]
    updated_at: Mapped[When]

    event: Mapped[WebhookEvent] = relationship(lazy="raise")


class WebhookAttempt(Base):
    """One request that was sent: what came back, or why nothing did. Never updated."""

    __tablename__ = "webhook_attempts"
    __table_args__ = table(
        whole("status", 0, 999),
        whole("duration_ms", 0, MAX_COUNT),
        Index("ix_webhook_attempts_delivery_id_id", "delivery_id", "id"),
    )

    id: Mapped[Id]
    delivery_id: Mapped[int] = refers_to("webhook_deliveries.id")
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(300))
    answer: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[When]
