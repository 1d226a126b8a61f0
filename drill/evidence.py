"""What both sides wrote down, read into the plain values that `books` compares."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import (
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaReceipt,
    MpesaRequest,
    Order,
    Payment,
    PaymentKind,
    Refund,
    RefundKind,
    RequestKind,
    Task,
    TaskStatus,
)
from drill.values import Attempt, Booking, Matter, Movement, Subject, Typed, What

_NAMES = ("receipt", "checkout_request_id", "conversation_id", "originator_conversation_id")
_MOVES_MONEY = (RequestKind.REVERSAL, RequestKind.PAYOUT)


@dataclass(frozen=True)
class Told:
    """What the drill knows without the shop's database: from the simulator and from the buyers.

    ``moved`` are the simulator's movements, ``prompts`` how often each phone was rung, ``typed``
    what each receipt of a payment from the menu was for. ``claims`` are the order and the receipt
    of each claim that the shop acknowledged.
    """

    moved: Sequence[Mapping[str, Any]] = ()
    prompts: Mapping[str, int] = field(default_factory=dict)
    prompts_asked: Mapping[str, int] = field(default_factory=dict)
    orders: Mapping[int, str] = field(default_factory=dict)
    transactions: Mapping[int, int] = field(default_factory=dict)
    claims: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    typed: Mapping[str, Typed] = field(default_factory=dict)
    units: Mapping[int, int] = field(default_factory=dict)


def read_movements(
    moved: Sequence[Mapping[str, Any]],
    orders: Collection[str],
    typed: Mapping[str, Typed] | None = None,
) -> list[Movement]:
    """The simulator's; M-Pesa's own charges are none of the shop's business.

    A prompt names its order. Of what a payer typed the payer knows best what it was for; else it is
    an order's number if the shop has one.
    """
    known = typed or {}
    return [_movement(one, orders, known) for one in moved if one["kind"] != "charge"]


def _movement(
    moved: Mapping[str, Any], orders: Collection[str], typed: Mapping[str, Typed]
) -> Movement:
    wish = typed.get(moved["receipt"])
    order = _order_of(moved, orders)
    if wish is not None:
        order = wish.order if wish.is_right else None
    return Movement(
        receipt=moved["receipt"],
        cents=round(moved["amount"] * 100),
        order=order,
        phone=moved["phone"],
        names=_names_of_movement(moved),
        moved_at=datetime.fromisoformat(moved["moved_at"]),
        meant=wish.order if wish else None,
        is_from_menu=moved["kind"] == "c2b",
    )


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
        select(Task.kind, Task.payment_id, Task.refund_id, Task.receipt, Task.status).order_by(
            Task.id
        )
    )
    return [
        Matter(
            row.kind,
            _subject(row.payment_id, row.refund_id),
            row.receipt,
            row.status != TaskStatus.DONE,
        )
        for row in rows
    ]


def count_roads(session: Session) -> dict[str, int]:
    """By which road the shop heard first of each receipt that it knows."""
    rows = session.execute(select(MpesaReceipt.source, func.count()).group_by(MpesaReceipt.source))
    return {str(source): times for source, times in rows}


def _subject(payment_id: int | None, refund_id: int | None) -> Subject | None:
    if refund_id is not None:
        return Subject(What.REFUND, refund_id)
    return None if payment_id is None else Subject(What.PAYMENT, payment_id)


def sum_owed(session: Session) -> tuple[int, int]:
    """To how many orders money is to go back, and how much in cents."""
    due = func.sum(LedgerEntry.amount_cents)
    rows = session.execute(
        select(LedgerEntry.order_id, due.label("cents"))
        .where(LedgerEntry.account == Account.REFUNDS_DUE)
        .group_by(LedgerEntry.order_id)
        .having(due < 0)
    ).all()
    return len(rows), -int(sum(row.cents for row in rows))
