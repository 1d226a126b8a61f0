"""Every table, in one import."""

from app.models.base import Base
from app.models.basket import Basket, BasketLine
from app.models.comment import Comment
from app.models.infrastructure import IdempotencyKey, Pace, RateCounter, SharedToken
from app.models.item import Category, Product
from app.models.ledger import Account, LedgerEntry, LedgerEvent, LedgerEventKind
from app.models.notification import Notification
from app.models.order import Order, OrderEvent, OrderLine, OrderStatus, PaymentStatus
from app.models.payment import (
    LIVE_STATES,
    InboxMessage,
    InboxSource,
    MpesaReceipt,
    Payment,
    PaymentEvent,
    PaymentKind,
    PaymentState,
)
from app.models.picture import Picture, PictureState
from app.models.stock import MovementKind, Reservation, ReservationState, StockMovement
from app.models.task import Task, TaskKind, TaskPriority, TaskStatus
from app.models.user import LoginSession, User

__all__ = [
    "LIVE_STATES",
    "Account",
    "Base",
    "Basket",
    "BasketLine",
    "Category",
    "Comment",
    "IdempotencyKey",
    "InboxMessage",
    "InboxSource",
    "LedgerEntry",
    "LedgerEvent",
    "LedgerEventKind",
    "LoginSession",
    "MovementKind",
    "MpesaReceipt",
    "Notification",
    "Order",
    "OrderEvent",
    "OrderLine",
    "OrderStatus",
    "Pace",
    "Payment",
    "PaymentEvent",
    "PaymentKind",
    "PaymentState",
    "PaymentStatus",
    "Picture",
    "PictureState",
    "Product",
    "RateCounter",
    "Reservation",
    "ReservationState",
    "SharedToken",
    "StockMovement",
    "Task",
    "TaskKind",
    "TaskPriority",
    "TaskStatus",
    "User",
]
