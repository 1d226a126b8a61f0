"""Every table, in one import."""

from app.models.base import Base
from app.models.basket import Basket, BasketLine
from app.models.comment import Comment
from app.models.infrastructure import (
    DoctorProbe,
    IdempotencyKey,
    Pace,
    RateCounter,
    SharedToken,
    WorkerHeartbeat,
)
from app.models.item import Category, Product
from app.models.ledger import Account, LedgerEntry, LedgerEvent, LedgerEventKind
from app.models.notification import Notification
from app.models.order import Order, OrderEvent, OrderLine, OrderStatus, PaymentStatus
from app.models.payment import (
    LIVE_STATES,
    InboxMessage,
    InboxSource,
    MoneySource,
    MpesaReceipt,
    Payment,
    PaymentEvent,
    PaymentKind,
    PaymentState,
    ReceiptState,
)
from app.models.picture import Picture, PictureState
from app.models.refund import (
    LIVE_REFUNDS,
    MpesaRequest,
    Refund,
    RefundEvent,
    RefundKind,
    RefundState,
    RequestKind,
    RequestState,
)
from app.models.restore import Restore
from app.models.statement import (
    IS_UNDECIDED_CLAIM,
    UNDECIDED_CLAIMS,
    ClaimState,
    LineKind,
    PaymentClaim,
    StatementImport,
    StatementLine,
    StatementSource,
)
from app.models.stock import MovementKind, Reservation, ReservationState, StockMovement
from app.models.task import (
    MONEY_TASKS,
    Decision,
    Task,
    TaskKind,
    TaskPriority,
    TaskStatus,
)
from app.models.user import LoginSession, User
from app.models.webhook import (
    DeliveryState,
    DisabledReason,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

__all__ = [
    "IS_UNDECIDED_CLAIM",
    "LIVE_REFUNDS",
    "LIVE_STATES",
    "MONEY_TASKS",
    "UNDECIDED_CLAIMS",
    "Account",
    "Base",
    "Basket",
    "BasketLine",
    "Category",
    "ClaimState",
    "Comment",
    "Decision",
    "DeliveryState",
    "DisabledReason",
    "DoctorProbe",
    "IdempotencyKey",
    "InboxMessage",
    "InboxSource",
    "LedgerEntry",
    "LedgerEvent",
    "LedgerEventKind",
    "LineKind",
    "LoginSession",
    "MoneySource",
    "MovementKind",
    "MpesaReceipt",
    "MpesaRequest",
    "Notification",
    "Order",
    "OrderEvent",
    "OrderLine",
    "OrderStatus",
    "Pace",
    "Payment",
    "PaymentClaim",
    "PaymentEvent",
    "PaymentKind",
    "PaymentState",
    "PaymentStatus",
    "Picture",
    "PictureState",
    "Product",
    "RateCounter",
    "ReceiptState",
    "Refund",
    "RefundEvent",
    "RefundKind",
    "RefundState",
    "RequestKind",
    "RequestState",
    "Reservation",
    "ReservationState",
    "Restore",
    "SharedToken",
    "StatementImport",
    "StatementLine",
    "StatementSource",
    "StockMovement",
    "Task",
    "TaskKind",
    "TaskPriority",
    "TaskStatus",
    "User",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "WorkerHeartbeat",
]
