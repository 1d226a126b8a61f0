"""What both sides wrote down, read into the plain values that `books` compares."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    Account,
    InboxMessage,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaRequest,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentKind,
    Product,
    Refund,
    RefundKind,
    RefundState,
    RequestKind,
    Task,
)
from drill.books import Attempt, Booking, Matter, Movement, Subject, What

_NAMES = ("receipt", "checkout_request_id", "conversation_id", "originator_conversation_id")
_MOVES_MONEY = (RequestKind.REVERSAL, RequestKind.PAYOUT)
_SOLD = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.REFUNDED)


@dataclass(frozen=True, slots=True)
class Row:
    """One row that is not as it should be."""

    subject: str
    detail: str


@dataclass(frozen=True)
class Told:
    """What the drill knows without the shop's database: from the simulator and from the buyers.

    ``moved`` are the simulator's movements, ``prompts`` how often each phone was rung.
    """

    moved: Sequence[Mapping[str, Any]] = ()
    prompts: Mapping[str, int] = field(default_factory=dict)
    prompts_asked: Mapping[str, int] = field(default_factory=dict)
    orders: Mapping[int, str] = field(default_factory=dict)
    transactions: Mapping[int, int] = field(default_factory=dict)
    units: Mapping[int, int] = field(default_factory=dict)


def read_movements(moved: Sequence[Mapping[str, Any]], orders: Collection[str]) -> list[Movement]:
    """The simulator's; M-Pesa's own charges are none of the shop's business.

    A prompt names its order; what a payer typed is an order's number only if the shop has one.
    """
    return [
        Movement(
            receipt=one["receipt"],
            cents=round(one["amount"] * 100),
            order=_order_of(one, orders),
            phone=one["phone"],
            names=_names_of_movement(one),
            moved_at=datetime.fromisoformat(one["moved_at"]),
        )
        for one in moved
        if one["kind"] != "charge"
    ]


def _names_of_movement(moved: Mapping[str, Any]) -> frozenset[str]:
    linked = moved["linked_receipt"]
    names = (moved[name] for name in _NAMES)
    return _known(*names, _reversal_of(linked) if linked else None)


def _order_of(moved: Mapping[str, Any], orders: Collection[str]) -> str | None:
    account = str(moved["account_reference"])
    if moved["kind"] == "express":
        return account
    typed = "".join(account.split()).upper()
    return typed if moved["kind"] == "c2b" and typed in orders else None


def read_order_numbers(session: Session) -> set[str]:
    return set(session.scalars(select(Order.number)))


def read_bookings(session: Session) -> list[Booking]:
    """Events that changed what the shop holds at M-Pesa.

    Money without an order is booked as such, and turned back when its order is found and books it
    as a payment: of those two nothing is left.
    """
    rows = session.execute(
        select(LedgerEvent, LedgerEntry.amount_cents, Order.number, Payment)
        .join(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
        .outerjoin(Order, Order.id == LedgerEvent.order_id)
        .outerjoin(Payment, Payment.id == LedgerEvent.payment_id)
        .where(LedgerEntry.account == Account.MPESA, LedgerEntry.amount_cents != 0)
        .order_by(LedgerEvent.id)
    ).all()
    refunds = _names_of_refunds(session)
    found_later = {event.reference for event, *_ in rows if event.kind == LedgerEventKind.MATCHED}
    placeless = {LedgerEventKind.UNMATCHED, LedgerEventKind.MATCHED}
    return [
        _booking(event, cents, number, payment, refunds)
        for event, cents, number, payment in rows
        if not (event.kind in placeless and event.reference in found_later)
    ]


def _booking(
    event: LedgerEvent,
    cents: int,
    order: str | None,
    payment: Payment | None,
    refunds: Mapping[int, frozenset[str]],
) -> Booking:
    """Its references are like "refund:7" and "receipt:UKQ1ABCDEF"."""
    kind, _, name = event.reference.partition(":")
    about, names, receipt = None, frozenset({name}), None
    if kind == What.REFUND:
        about = Subject(What.REFUND, int(name))
        names = refunds.get(about.id, frozenset())
    elif payment is not None:
        about = Subject(What.PAYMENT, payment.id)
        names = _known(payment.checkout_request_id, payment.mpesa_receipt)
        receipt = payment.mpesa_receipt
    return Booking(event.id, cents, order, names, receipt, event.created_at, about)


def _names_of_refunds(session: Session) -> dict[int, frozenset[str]]:
    """A reversal is also known by what it reverses, which happens once."""
    names = {
        refund.id: _known(
            refund.refund_receipt,
            _reversal_of(refund.receipt) if refund.kind == RefundKind.REVERSAL else None,
        )
        for refund in session.scalars(select(Refund).order_by(Refund.id))
    }
    requests = select(MpesaRequest).where(
        MpesaRequest.refund_id.is_not(None), MpesaRequest.kind.in_(_MOVES_MONEY)
    )
    for request in session.scalars(requests):
        if request.refund_id is not None:
            names[request.refund_id] |= _known(request.originator_id, request.conversation_id)
    return names


def _known(*names: str | None) -> frozenset[str]:
    return frozenset(name for name in names if name)


def _reversal_of(receipt: str) -> str:
    return f"reversal of {receipt}"


def read_attempts(session: Session) -> list[Attempt]:
    """Prompts and refunds."""
    prompts = session.execute(
        select(Payment, Order.number)
        .join(Order, Order.id == Payment.order_id)
        .where(Payment.kind == PaymentKind.STK_PUSH)
        .order_by(Payment.id)
    )
    refunds = _names_of_refunds(session)
    states = {row.id: row.state for row in session.execute(select(Refund.id, Refund.state))}
    return [
        *(
            Attempt(
                Subject(What.PAYMENT, payment.id),
                payment.status,
                _known(payment.checkout_request_id, payment.mpesa_receipt),
                number,
                payment.msisdn,
            )
            for payment, number in prompts
        ),
        *(
            Attempt(Subject(What.REFUND, refund_id), states[refund_id], names)
            for refund_id, names in refunds.items()
        ),
    ]


def read_matters(session: Session) -> list[Matter]:
    rows = session.execute(
        select(Task.kind, Task.payment_id, Task.refund_id, Task.receipt).order_by(Task.id)
    )
    return [Matter(row.kind, _subject(row.payment_id, row.refund_id), row.receipt) for row in rows]


def _subject(payment_id: int | None, refund_id: int | None) -> Subject | None:
    if refund_id is not None:
        return Subject(What.REFUND, refund_id)
    return None if payment_id is None else Subject(What.PAYMENT, payment_id)


def find_open_attempts(session: Session) -> list[Row]:
    """Payments and refunds that are not final, and of which no person was told."""
    told_of_payments = select(Task.payment_id).where(Task.payment_id.is_not(None))
    payments = session.execute(
        select(Payment.id, Payment.status, Payment.next_check_at)
        .where(Payment.status.in_(LIVE_STATES), Payment.id.not_in(told_of_payments))
        .order_by(Payment.id)
    )
    told_of_refunds = select(Task.refund_id).where(Task.refund_id.is_not(None))
    refunds = session.execute(
        select(Refund.id, Refund.state.label("status"), Refund.next_check_at)
        .where(Refund.state.in_(LIVE_REFUNDS), Refund.id.not_in(told_of_refunds))
        .order_by(Refund.id)
    )
    return [
        Row(f"{what} {row.id}", f"is {row.status}, next looked at {row.next_check_at}")
        for what, rows in ((What.PAYMENT, payments), (What.REFUND, refunds))
        for row in rows
    ]


def find_unread_messages(session: Session) -> list[Row]:
    rows = session.execute(
        select(InboxMessage.id, InboxMessage.error)
        .where(InboxMessage.processed_at.is_(None))
        .order_by(InboxMessage.id)
    )
    return [Row(f"inbox message {row.id}", row.error or "waits to be read") for row in rows]


def find_overdue_orders(session: Session, now: datetime) -> list[Row]:
    """Orders whose time is up, that nobody pays, and that still hold their stock."""
    live = select(Payment.order_id).where(Payment.status.in_(LIVE_STATES))
    rows = session.execute(
        select(Order.id, Order.expires_at)
        .where(Order.status == OrderStatus.PENDING, Order.expires_at <= now, Order.id.not_in(live))
        .order_by(Order.id)
    )
    return [Row(f"order {row.id}", f"was to expire at {row.expires_at}") for row in rows]


def find_wrong_stock(
    session: Session, units: Mapping[int, int]
) -> tuple[list[Row], int, list[Row]]:
    """Oversold products, by how many units in all, and products that lost or won units.

    What was there in the beginning is what the drill itself put on the shelf. Goods of an order
    whose money went back are gone, unless its refund put them back.
    """
    restocked = select(Refund.order_id).where(
        Refund.restock, Refund.state == RefundState.SUCCEEDED, Refund.order_id.is_not(None)
    )
    promised = or_(Order.status.in_(_SOLD), Order.status == OrderStatus.PENDING)
    counted = session.execute(
        select(OrderLine.product_id, Order.status, func.sum(OrderLine.quantity).label("units"))
        .join(Order, and_(Order.id == OrderLine.order_id, promised))
        .where(or_(Order.status != OrderStatus.REFUNDED, Order.id.not_in(restocked)))
        .group_by(OrderLine.product_id, Order.status)
    ).all()
    sold, held = Counter[int](), Counter[int]()
    for row in counted:
        (held if row.status == OrderStatus.PENDING else sold)[row.product_id] += row.units
    oversold, units_oversold, strange = [], 0, []
    for product in session.scalars(select(Product).order_by(Product.id)):
        began = units.get(product.id)
        if began is None:
            continue
        over = sold[product.id] + held[product.id] - began
        if over > 0:
            units_oversold += over
            oversold.append(
                Row(f"product {product.id}", f"had {began}, promised {began + over} units")
            )
        left = began - sold[product.id]
        if (product.on_hand, product.reserved) != (left, held[product.id]):
            strange.append(
                Row(
                    f"product {product.id}",
                    f"has {product.on_hand} of which {product.reserved} are held, but its orders"
                    f" leave {left} of which {held[product.id]} are held",
                )
            )
    return oversold, units_oversold, strange


def find_forgotten(session: Session, told: Told) -> list[Row]:
    """What the shop acknowledged to a buyer and does not have."""
    orders = {row.id: row.note for row in session.execute(select(Order.id, Order.note))}
    payments = {
        row.id: row.order_id for row in session.execute(select(Payment.id, Payment.order_id))
    }
    return [
        *(
            Row(f"order {order_id}", f"was acknowledged as {note!r}")
            for order_id, note in told.orders.items()
            if orders.get(order_id) != note
        ),
        *(
            Row(f"payment {payment_id}", f"was acknowledged for order {order_id}")
            for payment_id, order_id in told.transactions.items()
            if payments.get(payment_id) != order_id
        ),
    ]


def find_doubled_orders(session: Session) -> list[Row]:
    """Each request to order carries a note of its own; repeated, it must make no second order."""
    rows = session.execute(
        select(Order.note, func.count().label("times"))
        .where(Order.note.is_not(None))
        .group_by(Order.note)
        .having(func.count() > 1)
    )
    return [Row(row.note, f"was ordered {row.times} times") for row in rows]


def find_pestered_phones(told: Told) -> list[Row]:
    """Phones that were rung more often than anybody asked for."""
    return [
        Row(
            f"phone {phone}",
            f"was rung {times} times for {told.prompts_asked.get(phone, 0)} wishes",
        )
        for phone, times in sorted(told.prompts.items())
        if times > told.prompts_asked.get(phone, 0)
    ]


def sum_owed(session: Session) -> tuple[int, int]:
    """To how many orders money is to go back, and how much in cents."""
    due = func.sum(LedgerEntry.amount_cents)
    rows = session.execute(
        select(LedgerEntry.order_id, due.label("cents"))
        .where(LedgerEntry.account == Account.REFUNDS_DUE)
        .group_by(LedgerEntry.order_id)
        .having(due < 0)
    ).all()
    return len(rows), -sum(row.cents for row in rows)
