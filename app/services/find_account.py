"""Which order somebody meant who typed an account number on a phone.

Spaces, dashes and small letters do not matter. A number that is wrong is never corrected by us:
what may be meant is suggested to a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Order, OrderStatus, Payment
from app.services.answered_prompts import find_prompts_called_paid
from app.services.read_orders import due_shillings, money_of
from app.services.receipts import ReceiptFacts
from app.utils.money import CENTS_PER_SHILLING
from app.utils.order_number import is_order_number, neighbours_of, tidy_order_number
from app.utils.phone import fits_msisdn

_LONGEST_TYPED = 40
_RECENT = timedelta(days=3)
_MOST_LOOKED_AT = 200
_MOST_SUGGESTED = 5


class Clue(StrEnum):
    """Why an order is suggested, the best reason first."""

    NUMBER = "number"
    """Its number is one slip of the finger away."""
    CALLED_PAID_AND_PHONE = "called_paid_and_phone"
    """M-Pesa called a prompt of this amount on it paid, without a receipt, and the payer's phone
    fits the one that was asked.
    """
    AMOUNT_AND_PHONE = "amount_and_phone"
    """It waits for this amount, and the payer's phone fits one that it is known by."""
    CALLED_PAID = "called_paid"
    """M-Pesa called a prompt of this amount on it paid, without a receipt; nothing shows a phone.
    """
    AMOUNT = "amount"
    """It waits for this very amount."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An order that may be meant."""

    order_id: int
    number: str
    clue: Clue


def find_account(session: Session, typed: str | None) -> int | None:
    """The id of the order whose number was typed, alone or as one word among others; else None."""
    text = (typed or "")[:_LONGEST_TYPED]
    candidates = {tidy_order_number(text), *re.split(r"[\W_]+", text.upper())}
    numbers = [number for number in candidates if is_order_number(number)]
    found = session.scalars(select(Order.id).where(Order.number.in_(numbers))).all()
    return found[0] if len(found) == 1 else None


def suggest_orders(session: Session, facts: ReceiptFacts, now: datetime) -> list[Suggestion]:
    """Orders that money without an order may be for, likeliest first. A person chooses."""
    near = neighbours_of((facts.bill_reference or "")[:_LONGEST_TYPED])
    by_number = session.execute(
        select(Order.id, Order.number).where(Order.number.in_(near)).order_by(Order.id.desc())
    )
    found = {row.id: Suggestion(row.id, row.number, Clue.NUMBER) for row in by_number}
    for one in _called_paid(session, facts, now):
        found.setdefault(one.order_id, one)
    waiting = _waiting_for(session, facts.amount_cents, now)
    phones = _phones_of(session, waiting)
    for order in waiting:
        fits = any(fits_msisdn(facts.payer_phone, msisdn) for msisdn in phones[order.id])
        clue = Clue.AMOUNT_AND_PHONE if fits else Clue.AMOUNT
        found.setdefault(order.id, Suggestion(order.id, order.number, clue))
    ranks = list(Clue)
    return sorted(found.values(), key=lambda one: ranks.index(one.clue))[:_MOST_SUGGESTED]


def _called_paid(session: Session, facts: ReceiptFacts, now: datetime) -> list[Suggestion]:
    """Orders that lack nothing but the receipt of a prompt, which this money may be."""
    prompts = find_prompts_called_paid(session, facts, now - _RECENT)
    wanted = Order.id.in_({prompt.order_id for prompt in prompts})
    named = session.execute(select(Order.id, Order.number).where(wanted))
    numbers = {row.id: row.number for row in named}
    suggested = []
    for prompt in prompts:
        fits = fits_msisdn(facts.payer_phone, prompt.prompted_msisdn)
        clue = Clue.CALLED_PAID_AND_PHONE if fits else Clue.CALLED_PAID
        suggested.append(Suggestion(prompt.order_id, numbers[prompt.order_id], clue))
    return suggested


def _waiting_for(session: Session, amount_cents: int, now: datetime) -> list[Order]:
    """The latest orders that lately wanted just this amount."""
    orders = session.scalars(
        select(Order)
        .where(
            Order.status.in_([OrderStatus.PENDING, OrderStatus.EXPIRED]),
            Order.created_at > now - _RECENT,
        )
        .order_by(Order.id.desc())
        .limit(_MOST_LOOKED_AT)
    ).all()
    money = money_of(session, [order.id for order in orders])
    return [
        order
        for order in orders
        if due_shillings(order, money[order.id]) * CENTS_PER_SHILLING == amount_cents
    ]


def _phones_of(session: Session, orders: Sequence[Order]) -> dict[int, set[str]]:
    """The phones that an order is known by: its own, and those that were asked to pay."""
    phones = {order.id: {order.phone_number} if order.phone_number else set() for order in orders}
    asked = select(Payment.order_id, Payment.msisdn).where(Payment.order_id.in_(phones))
    for order_id, msisdn in session.execute(asked):
        if msisdn is not None:
            phones[order_id].add(msisdn)
    return phones
