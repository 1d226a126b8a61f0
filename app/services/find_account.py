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
from app.services.read_orders import due_shillings, money_of
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
    AMOUNT_AND_PHONE = "amount_and_phone"
    """It waits for this amount, and the payer's phone fits one that it is known by."""
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


def suggest_orders(
    session: Session, typed: str | None, amount_cents: int, payer_phone: str | None, now: datetime
) -> list[Suggestion]:
    """Orders that money without an order may be for, likeliest first. A person chooses."""
    near = neighbours_of((typed or "")[:_LONGEST_TYPED])
    by_number = session.execute(
        select(Order.id, Order.number).where(Order.number.in_(near)).order_by(Order.id.desc())
    )
    found = {row.id: Suggestion(row.id, row.number, Clue.NUMBER) for row in by_number}
    waiting = _waiting_for(session, amount_cents, now)
    phones = _phones_of(session, waiting)
    for order in waiting:
        fits = any(fits_msisdn(payer_phone, msisdn) for msisdn in phones[order.id])
        clue = Clue.AMOUNT_AND_PHONE if fits else Clue.AMOUNT
        found.setdefault(order.id, Suggestion(order.id, order.number, clue))
    ranks = list(Clue)
    return sorted(found.values(), key=lambda one: ranks.index(one.clue))[:_MOST_SUGGESTED]


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
