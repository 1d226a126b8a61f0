from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.models.base import (
    MAX_COUNT,
    Base,
    Cents,
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
from app.models.item import MAX_STOCK


class OrderStatus(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUNDED = "refunded"


class PaymentStatus(StrEnum):
    """How an order stands with its money; worked out from its rows, never stored."""

    UNPAID = "unpaid"
    PENDING = "pending"
    PAID = "paid"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"


class OrderLine(Base):
    """What was ordered, with the name and price of that moment copied in."""

    __tablename__ = "order_lines"
    __table_args__ = table(
        whole("quantity", 1, MAX_STOCK),
        whole("unit_price_cents", 0),
        whole("position", 0, MAX_COUNT),
        UniqueConstraint("order_id", "product_id"),
        Index("ix_order_lines_seller_id_order_id", "seller_id", "order_id"),
    )

    id: Mapped[Id]
    order_id: Mapped[int] = refers_to("orders.id")
    product_id: Mapped[int] = refers_to("products.id")
    seller_id: Mapped[int] = refers_to("users.id")
    position: Mapped[Quantity]
    product_name: Mapped[str] = mapped_column(String(200))
    quantity: Mapped[Quantity]
    unit_price_cents: Mapped[Cents]

    @property
    def line_total_cents(self) -> int:
        return self.quantity * self.unit_price_cents


class Order(Base):
    """An order. What is paid on it is what the ledger says; no column here adds it up."""

    __tablename__ = "orders"
    __table_args__ = table(
        one_of("status", OrderStatus),
        whole("total_cents", 1),
        CheckConstraint("expires_at >= created_at", name="expires_after_it_was_made"),
        Index("ix_orders_user_id_id", "user_id", "id"),
        Index("ix_orders_status_expires_at", "status", "expires_at"),
        Index("ix_orders_status_id", "status", "id"),
        Index("ix_orders_created_at", "created_at"),
        Index("ix_orders_phone_number_id", "phone_number", "id"),
    )

    id: Mapped[Id]
    number: Mapped[str] = mapped_column(String(12), unique=True)
    user_id: Mapped[int] = refers_to("users.id")
    status: Mapped[Code] = mapped_column(default=OrderStatus.PENDING)
    total_cents: Mapped[Cents]
    phone_number: Mapped[str | None] = mapped_column(String(12))
    delivery_address: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[When]
    updated_at: Mapped[When]
    expires_at: Mapped[When]
    paid_at: Mapped[datetime | None] = mapped_column(Moment)

    lines: Mapped[list[OrderLine]] = relationship(lazy="raise", order_by=OrderLine.position)


class OrderEvent(Base):
    """One step of an order's life: from where, to where, who, why. Never updated."""

    __tablename__ = "order_events"
    __table_args__ = table(Index("ix_order_events_order_id_id", "order_id", "id"))

    id: Mapped[Id]
    order_id: Mapped[int] = refers_to("orders.id")
    from_status: Mapped[Code | None]
    to_status: Mapped[Code]
    actor_id: Mapped[int | None] = refers_to("users.id")
    reason: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[When]
