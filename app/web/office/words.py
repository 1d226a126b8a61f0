"""States in plain words, each with the tone of its badge."""

from typing import NamedTuple

from app.models import (
    Account,
    DeliveryState,
    DisabledReason,
    LedgerEventKind,
    MovementKind,
    OrderStatus,
    PaymentKind,
    PaymentState,
    PaymentStatus,
    RefundKind,
    RefundState,
    RequestKind,
    RequestState,
    TaskKind,
    TaskPriority,
    TaskStatus,
)
from app.policies import Role
from app.services.adjust_stock import StockReason
from app.services.webhooks.event_types import TEST, EventType
from app.web.language import mark


class Word(NamedTuple):
    text: str
    tone: str = "plain"


ORDER_WORDS: dict[str, Word] = {
    OrderStatus.PENDING: Word(mark("Waiting for payment"), "wait"),
    OrderStatus.PAID: Word(mark("To be sent"), "wait"),
    OrderStatus.SHIPPED: Word(mark("On its way"), "good"),
    OrderStatus.DELIVERED: Word(mark("Delivered"), "good"),
    OrderStatus.CANCELLED: Word(mark("Cancelled"), "bad"),
    OrderStatus.EXPIRED: Word(mark("Expired"), "plain"),
    OrderStatus.REFUNDED: Word(mark("Paid back"), "plain"),
}

STEP_WORDS: dict[str, str] = {
    OrderStatus.PENDING: mark("Placed"),
    OrderStatus.PAID: mark("Paid"),
    OrderStatus.SHIPPED: mark("Sent"),
    OrderStatus.DELIVERED: mark("Delivered"),
    OrderStatus.CANCELLED: mark("Cancelled"),
    OrderStatus.EXPIRED: mark("Expired"),
    OrderStatus.REFUNDED: mark("Paid back"),
}
"""What brought an order to where it stands."""

MONEY_WORDS: dict[str, Word] = {
    PaymentStatus.UNPAID: Word(mark("Not paid"), "plain"),
    PaymentStatus.PENDING: Word(mark("Payment under way"), "wait"),
    PaymentStatus.PAID: Word(mark("Paid"), "good"),
    PaymentStatus.REFUND_DUE: Word(mark("We owe the buyer"), "bad"),
    PaymentStatus.REFUNDED: Word(mark("Paid back"), "plain"),
}

PAYMENT_WORDS: dict[str, Word] = {
    PaymentState.CREATED: Word(mark("Being sent"), "wait"),
    PaymentState.PENDING: Word(mark("On the phone"), "wait"),
    PaymentState.SUCCEEDED: Word(mark("Paid"), "good"),
    PaymentState.FAILED: Word(mark("Failed"), "bad"),
    PaymentState.CANCELLED: Word(mark("Cancelled by the payer"), "bad"),
    PaymentState.UNKNOWN: Word(mark("No answer"), "wait"),
    PaymentState.REFUNDED: Word(mark("Paid back"), "plain"),
}

KIND_WORDS: dict[str, str] = {
    PaymentKind.STK_PUSH: mark("Prompt on the phone (M-Pesa Express)"),
    PaymentKind.PAYBILL: mark("Paid by the customer to our M-Pesa number"),
}

SOURCE_WORDS: dict[str, str] = {
    "request": mark("The buyer asked"),
    "push": mark("Prompt sent"),
    "callback": mark("M-Pesa reported"),
    "query": mark("M-Pesa was asked"),
    "reconciler": mark("The regular check"),
    "review": mark("Held for a person"),
    "c2b": mark("M-Pesa confirmed it"),
    "pull": mark("Found in M-Pesa's list"),
    "status": mark("M-Pesa was asked about its receipt"),
    "statement": mark("Found on the statement"),
    "person": mark("A person decided"),
    "refund": mark("Paid back"),
}
"""Where a step of a payment came from."""

REFUND_WORDS: dict[str, Word] = {
    RefundState.AWAITING_APPROVAL: Word(mark("Waits for approval"), "wait"),
    RefundState.CREATED: Word(mark("Being sent"), "wait"),
    RefundState.PENDING: Word(mark("Under way"), "wait"),
    RefundState.SUCCEEDED: Word(mark("Paid back"), "good"),
    RefundState.FAILED: Word(mark("Failed"), "bad"),
    RefundState.UNKNOWN: Word(mark("No answer"), "wait"),
    RefundState.REJECTED: Word(mark("Called off"), "plain"),
}
TO_BE_DONE = Word(mark("To be done by hand"), "wait")
"""What CREATED is where no machine sends it."""

REFUND_KIND_WORDS: dict[str, str] = {
    RefundKind.REVERSAL: mark("Reversal: M-Pesa takes the whole payment back to who paid"),
    RefundKind.PAYOUT: mark("Payout: M-Pesa sends it to the phone that paid"),
    RefundKind.BY_HAND: mark("By hand, in M-Pesa's portal"),
}

REFUND_SOURCE_WORDS: dict[str, str] = {
    "request": mark("Asked for"),
    "approval": mark("Approved"),
    "rejection": mark("Called off"),
    "restore": mark("Restored from a backup"),
    "sending": mark("Sent to M-Pesa"),
    "result": mark("M-Pesa reported"),
    "silence": mark("No report that counts"),
    "status": mark("M-Pesa was asked"),
    "check": mark("The regular check"),
    "person": mark("A person decided"),
}
"""Where a step of a refund came from."""

REQUEST_KIND_WORDS: dict[str, str] = {
    RequestKind.REVERSAL: mark("Reversal"),
    RequestKind.PAYOUT: mark("Payout"),
    RequestKind.STATUS: mark("Question what became of it"),
    RequestKind.BALANCE: mark("Question about our balance"),
}

REQUEST_WORDS: dict[str, Word] = {
    RequestState.CREATED: Word(mark("Being sent"), "wait"),
    RequestState.SENT: Word(mark("Taken by M-Pesa"), "wait"),
    RequestState.ANSWERED: Word(mark("Answered"), "good"),
    RequestState.REFUSED: Word(mark("Refused"), "bad"),
    RequestState.UNKNOWN: Word(mark("No answer"), "wait"),
    RequestState.EXPIRED: Word(mark("Nobody waits for it")),
}

MESSAGE_WORDS: dict[str, str] = {
    "stk_callback": mark("At the secret address of this payment"),
    "unsigned_callback": mark("At the open address, where it proves nothing"),
    "c2b_confirmation": mark("At the address for paybill payments"),
    "api_result": mark("At the secret address of a request"),
    "queue_timeout": mark("At the address for requests that M-Pesa gave up"),
}

ACCOUNT_WORDS: dict[str, str] = {
    Account.MPESA: mark("M-Pesa: money that we hold"),
    Account.CUSTOMER: mark("Owed to the customer in goods"),
    Account.SALES: mark("Sales"),
    Account.ROUNDING: mark("Rounding to whole shillings"),
    Account.REFUNDS_DUE: mark("Owed to the customer in money"),
    Account.REFUNDS: mark("Sales that were paid back"),
    Account.UNMATCHED: mark("Held for nobody knows whom"),
    Account.OUTSIDE: mark("No business of the shop"),
    Account.LOSSES: mark("Lost: believed, and never came"),
}

BOOKING_WORDS: dict[str, str] = {
    LedgerEventKind.PAYMENT: mark("Payment"),
    LedgerEventKind.SALE: mark("Sale"),
    LedgerEventKind.REFUND: mark("Paid back"),
    LedgerEventKind.UNMATCHED: mark("Came without an order"),
    LedgerEventKind.MATCHED: mark("Its order was found"),
    LedgerEventKind.DISMISSED: mark("Dismissed"),
    LedgerEventKind.SET_ASIDE: mark("Set aside to be paid back"),
    LedgerEventKind.RECLAIM: mark("Used after all"),
    LedgerEventKind.CORRECTION: mark("Put right by a person"),
}

MOVEMENT_WORDS: dict[str, str] = {
    MovementKind.RECEIPT: mark("Came in"),
    MovementKind.ADJUSTMENT: mark("Set by hand"),
    MovementKind.HOLD: mark("Held for an order"),
    MovementKind.RELEASE: mark("Given back by an order"),
    MovementKind.SALE: mark("Sold"),
    MovementKind.LATE_SALE: mark("Sold, paid late"),
    MovementKind.RESTOCK: mark("Put back after a sale"),
}

REASON_WORDS: dict[str, str] = {
    StockReason.RECEIVED: mark("New goods came in"),
    StockReason.RETURNED: mark("A buyer brought it back"),
    StockReason.FOUND: mark("Counted: there are more"),
    StockReason.DAMAGED: mark("Damaged"),
    StockReason.LOST: mark("Lost or stolen"),
    StockReason.SOLD_ELSEWHERE: mark("Sold elsewhere"),
    StockReason.MISSING: mark("Counted: there are fewer"),
}

ROLE_WORDS: dict[str, str] = {
    Role.CUSTOMER: mark("Customer"),
    Role.SELLER: mark("Seller"),
    Role.ADMIN: mark("Admin"),
}

TASK_KIND_WORDS: dict[str, str] = {
    TaskKind.MANUAL: mark("Written by a person"),
    TaskKind.LATE_MONEY: mark("Money came late"),
    TaskKind.DOUBLE_PAYMENT: mark("Paid twice"),
    TaskKind.WRONG_AMOUNT: mark("Wrong amount"),
    TaskKind.MISMATCHED_CALLBACK: mark("A report that does not fit"),
    TaskKind.UNREADABLE_CALLBACK: mark("A report nobody can read"),
    TaskKind.UNKNOWN_PAYMENT: mark("No answer about a payment"),
    TaskKind.DISPUTED_PAYMENT: mark("M-Pesa disputes a payment"),
    TaskKind.RECEIPT_CONFLICT: mark("One receipt, two payments"),
    TaskKind.MPESA_CONFIGURATION: mark("M-Pesa settings"),
    TaskKind.STUCK_MESSAGE: mark("A message that is stuck"),
    TaskKind.OVER_PAYMENT: mark("Paid too much"),
    TaskKind.UNMATCHED_MONEY: mark("Money without an order"),
    TaskKind.PAYMENT_CLAIM: mark("A customer says: I have paid"),
    TaskKind.REFUND_APPROVAL: mark("A refund to approve"),
    TaskKind.REFUND_FAILED: mark("A refund that failed"),
    TaskKind.UNKNOWN_REFUND: mark("No answer about a refund"),
    TaskKind.STATEMENT_DIFFERENCE: mark("M-Pesa's books differ"),
    TaskKind.BROKEN_INVARIANT: mark("The books do not add up"),
    TaskKind.WEBHOOK_FAILING: mark("A webhook that fails"),
}

TASK_WORDS: dict[str, Word] = {
    TaskStatus.TODO: Word(mark("To do"), "wait"),
    TaskStatus.IN_PROGRESS: Word(mark("In progress")),
    TaskStatus.DONE: Word(mark("Done"), "good"),
}

PRIORITY_WORDS: dict[str, str] = {
    TaskPriority.LOW: mark("Low"),
    TaskPriority.NORMAL: mark("Normal"),
    TaskPriority.HIGH: mark("High"),
}

DELIVERY_WORDS: dict[str, Word] = {
    DeliveryState.PENDING: Word(mark("Waiting"), "wait"),
    DeliveryState.DELIVERED: Word(mark("Arrived"), "good"),
    DeliveryState.FAILED: Word(mark("Given up"), "bad"),
    DeliveryState.CANCELLED: Word(mark("Cancelled"), "plain"),
}

DISABLED_WORDS: dict[str, str] = {
    DisabledReason.BY_ADMIN: mark("An admin disabled it."),
    DisabledReason.GONE: mark("It answered that it wants no more (410)."),
    DisabledReason.FAILING: mark("Nothing arrived there for three days."),
}

EVENT_WORDS: dict[str, str] = {
    EventType.ORDER_PLACED: mark("An order is placed"),
    EventType.ORDER_PAID: mark("An order is paid"),
    EventType.ORDER_SHIPPED: mark("An order is sent"),
    EventType.ORDER_DELIVERED: mark("An order is delivered"),
    EventType.ORDER_CANCELLED: mark("An order is cancelled"),
    EventType.ORDER_EXPIRED: mark("An order expires"),
    EventType.ORDER_REFUNDED: mark("An order is paid back"),
    EventType.PAYMENT_PENDING: mark("A phone is asked to pay"),
    EventType.PAYMENT_SUCCEEDED: mark("A payment comes"),
    EventType.PAYMENT_RECEIPT_ADDED: mark("A payment gets its receipt"),
    EventType.PAYMENT_FAILED: mark("A payment fails"),
    EventType.PAYMENT_CANCELLED: mark("The payer refuses"),
    EventType.PAYMENT_UNKNOWN: mark("Nobody knows of a payment"),
    EventType.PAYMENT_REFUNDED: mark("A payment is paid back"),
    EventType.MONEY_UNMATCHED: mark("Money comes without an order"),
    EventType.TASK_FILED: mark("The shop files a task"),
    TEST: mark("A test"),
}
