"""Paying an order from the customer's own M-Pesa menu: what to type there, and when it is wise."""

from dataclasses import dataclass
from datetime import datetime

from app.models import OrderStatus
from app.services.read_orders import OrderView
from app.utils.money import CENTS_PER_SHILLING


@dataclass(frozen=True, slots=True)
class MenuNumber:
    """What customers type to pay us, and the most that M-Pesa carries at once."""

    number: str
    is_till: bool
    max_amount_shillings: int


@dataclass(frozen=True, slots=True)
class MenuPayment:
    """One payment from the menu. A paybill asks for the ``account``, a till for none."""

    paybill: str | None
    till: str | None
    account: str
    amount_cents: int

    @property
    def amount_shillings(self) -> int:
        """As it is typed: M-Pesa takes whole shillings."""
        return self.amount_cents // CENTS_PER_SHILLING


def menu_payment_of(view: OrderView, to: MenuNumber, now: datetime) -> MenuPayment | None:
    """What is left to pay of an order that waits for money.

    None while a prompt is out or nobody knows what became of one: it would invite to pay twice.
    """
    order, cents = view.order, view.amount_due_cents
    waits = order.status == OrderStatus.PENDING and order.expires_at > now and cents > 0
    if not waits or view.money.prompt_is_out:
        return None
    if cents > to.max_amount_shillings * CENTS_PER_SHILLING:
        return None
    return MenuPayment(
        paybill=None if to.is_till else to.number,
        till=to.number if to.is_till else None,
        account=order.number,
        amount_cents=cents,
    )
