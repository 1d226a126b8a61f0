"""Stock that moves: what an order holds, and why every count is what it is."""

from enum import StrEnum

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Code, Id, Quantity, When, one_of, refers_to, table, whole
from app.models.item import MAX_STOCK


class ReservationState(StrEnum):
    ACTIVE = "active"
    RELEASED = "released"
    CONSUMED = "consumed"


class Reservation(Base):
    """The units of one product that one order holds; given back or consumed exactly once."""

    __tablename__ = "reservations"
    __table_args__ = table(
        one_of("state", ReservationState),
        whole("quantity", 1, MAX_STOCK),
        UniqueConstraint("order_id", "product_id"),
        Index("ix_reservations_product_id_state", "product_id", "state"),
    )

    id: Mapped[Id]
    order_id: Mapped[int] = refers_to("orders.id")
    product_id: Mapped[int] = refers_to("products.id")
    quantity: Mapped[Quantity]
    state: Mapped[Code] = mapped_column(default=ReservationState.ACTIVE)
    created_at: Mapped[When]
    ended_at: Mapped[When | None]


class MovementKind(StrEnum):
    """Why a count changed. HOLD and RELEASE move ``reserved`` alone."""

    RECEIPT = "receipt"
    ADJUSTMENT = "adjustment"
    HOLD = "hold"
    RELEASE = "release"
    SALE = "sale"
    LATE_SALE = "late_sale"
    RESTOCK = "restock"


class StockMovement(Base):
    """One typed change of one product's counts, never updated.

    An order moves a product once for each kind: a second release of the same hold breaks the
    unique constraint whatever the code above it believes.
    """

    __tablename__ = "stock_movements"
    __table_args__ = table(
        one_of("kind", MovementKind),
        whole("on_hand_delta", -MAX_STOCK, MAX_STOCK),
        whole("reserved_delta", -MAX_STOCK, MAX_STOCK),
        UniqueConstraint("order_id", "product_id", "kind"),
        Index("ix_stock_movements_product_id_id", "product_id", "id"),
    )

    id: Mapped[Id]
    product_id: Mapped[int] = refers_to("products.id")
    order_id: Mapped[int | None] = refers_to("orders.id")
    actor_id: Mapped[int | None] = refers_to("users.id")
    kind: Mapped[Code]
    on_hand_delta: Mapped[Quantity]
    reserved_delta: Mapped[Quantity]
    note: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[When]
