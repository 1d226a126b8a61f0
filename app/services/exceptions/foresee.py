"""What money would do to an order, told before it does it. It follows use_money step by step."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.orm import Session

from app.models import Account, MpesaReceipt, Order, OrderStatus, PaymentState
from app.services.answered_prompts import find_answered_prompt
from app.services.ledger import balances_of, excess_of
from app.services.sell_stock import could_sell_again
from app.services.unmatched_money import facts_of
from app.services.use_money import find_rest
from app.utils.money import CENTS_PER_SHILLING, whole_shillings


class Effect(StrEnum):
    PAYS = "pays"
    """The order is paid with it."""
    PAYS_PART = "pays_part"
    """The order waits for the rest."""
    REVIVES = "revives"
    """The order is over, but its goods are there: it is paid after all."""
    JOINS = "joins"
    """It is the money of a prompt that M-Pesa had called paid: counted already, now with a receipt.
    """
    OWED_BACK = "owed_back"
    """The order takes no money any more: all of it is to be refunded."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """``excess_cents`` would be owed back, ``lacking_cents`` still be missing."""

    effect: Effect
    excess_cents: int = 0
    lacking_cents: int = 0


def foresee_receipt(session: Session, order: Order, row: MpesaReceipt) -> Foresight:
    """What money without an order would do to this one."""
    prompt = find_answered_prompt(session, order, facts_of(row))
    if prompt is not None and prompt.status == PaymentState.SUCCEEDED:
        return Foresight(Effect.JOINS)
    return foresee(session, order, row.amount_cents)


def foresee(session: Session, order: Order, amount_cents: int) -> Foresight:
    """Nothing is locked or changed: it holds while nobody else comes first."""
    if order.status == OrderStatus.PENDING:
        held_cents = -balances_of(session, order.id)[Account.CUSTOMER]
        return _foresee_pending(order, held_cents + amount_cents)
    if order.status == OrderStatus.EXPIRED:
        rest_cents = find_rest(session, order, amount_cents)
        if rest_cents is not None and could_sell_again(session, order.id):
            excess_cents = excess_of(order.total_cents, amount_cents + rest_cents)
            return Foresight(Effect.REVIVES, excess_cents=excess_cents)
    return Foresight(Effect.OWED_BACK, excess_cents=amount_cents)


def _foresee_pending(order: Order, paid_cents: int) -> Foresight:
    if paid_cents >= order.total_cents:
        return Foresight(Effect.PAYS, excess_cents=excess_of(order.total_cents, paid_cents))
    lacking = whole_shillings(order.total_cents - paid_cents) * CENTS_PER_SHILLING
    return Foresight(Effect.PAYS_PART, lacking_cents=lacking)
