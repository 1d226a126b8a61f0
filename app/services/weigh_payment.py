"""Whether money that a payer is about to send is welcome: looked up, and nothing changed.

To refuse it protects the payer; to refuse what should have come costs the shop a sale. So only
what is surely wrong is refused.
"""

from enum import StrEnum

from sqlalchemy.orm import Session

from app.models import Order, OrderStatus
from app.services.find_account import find_account
from app.services.read_orders import due_shillings, money_of
from app.utils.money import CENTS_PER_SHILLING


class Wish(StrEnum):
    """What the shop says to a payment before it is made."""

    WELCOME = "welcome"
    UNKNOWN_ACCOUNT = "unknown_account"
    """No order has this number, or the one that has it awaits no payment."""
    TOO_MUCH = "too_much"
    """More than is left to pay: what is beyond it would only have to go back."""
    FOREIGN_SHORTCODE = "foreign_shortcode"
    """The payment is for a number that is none of ours."""


def weigh_payment(session: Session, typed: str, amount_cents: int) -> Wish:
    """Hold an account number, as it was typed, and an amount against the order that is meant.

    A part of what is due is welcome, and so is what a prompt of ours asks for.
    """
    order_id = find_account(session, typed)
    order = session.get(Order, order_id) if order_id is not None else None
    if order is None or order.status != OrderStatus.PENDING:
        return Wish.UNKNOWN_ACCOUNT
    due = due_shillings(order, money_of(session, [order.id])[order.id])
    return Wish.TOO_MUCH if amount_cents > due * CENTS_PER_SHILLING else Wish.WELCOME
