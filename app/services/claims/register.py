"""Deciding a claim by what the register of receipts says. The caller has locked the order."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    ClaimState,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    ReceiptState,
)
from app.services.answered_prompts import find_awaiting_orders
from app.services.claims.end import Doubt, accept_claim, hand_claim_over, refuse_claim
from app.services.claims.said import COUNTED, LOOKED_FOR
from app.services.find_account import Clue, suggest_orders
from app.services.known_phones import is_the_buyers
from app.services.read_orders import due_shillings, money_of
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.refund_shares import is_going_back
from app.services.unmatched_money import attach_money, facts_of
from app.utils.money import CENTS_PER_SHILLING, whole_shillings

_TELLING = (Clue.NUMBER, Clue.CALLED_PAID_AND_PHONE, Clue.AMOUNT_AND_PHONE)


def find_told(session: Session, receipt: str) -> MpesaReceipt | None:
    """The receipt, locked, if a road has told of it; what a person wrote off is as if untold."""
    row = find_receipt(session, receipt)
    return None if row is None or row.state == ReceiptState.WRITTEN_OFF else row


def judge_by_register(
    session: Session, order: Order, claim: PaymentClaim, row: MpesaReceipt, now: datetime
) -> None:
    """Decide by a receipt that is known, and locked: money without an order is used for this one
    where everything fits.
    """
    if row.state == ReceiptState.UNMATCHED:
        doubt = use_where_all_fits(session, order, claim, row, now)
        if doubt is not None:
            hand_claim_over(session, claim, doubt, now)
    elif row.state == ReceiptState.DISMISSED and claim.state == ClaimState.OPEN:
        hand_claim_over(
            session, claim, Doubt(description="A person dismissed this money before."), now
        )
    elif row.state == ReceiptState.DISMISSED:
        refuse_claim(session, claim, LOOKED_FOR, now)
    elif is_counted_for(session, row, order):
        accept_claim(session, claim, now)
    else:
        refuse_claim(session, claim, COUNTED, now)


def use_where_all_fits(
    session: Session, order: Order, claim: PaymentClaim, row: MpesaReceipt, now: datetime
) -> Doubt | None:
    """Use unmatched money for the claim's order, or answer what speaks against it."""
    doubt = _find_doubt(session, order, row, now)
    if doubt is None:
        attach_money(session, row, order, now)
        accept_claim(session, claim, now)
    return doubt


def is_counted_for(session: Session, row: MpesaReceipt, order: Order) -> bool:
    if row.payment_id is None:
        return False
    return session.get_one(Payment, row.payment_id).order_id == order.id


def find_doubt_of_payer(
    session: Session, order: Order, facts: ReceiptFacts, now: datetime
) -> Doubt | None:
    """Why this money may be somebody else's, or another order's; None where nothing says so."""
    if not is_the_buyers(session, order, facts):
        return Doubt(
            description="The payer's phone was not known as the buyer's (and nobody else's)"
            " when the money moved."
        )
    if find_awaiting_orders(session, facts) - {order.id}:
        return Doubt(
            description="A prompt for another order, of this amount, still waits for its money."
        )
    others = _orders_of_others(session, order, facts, now)
    if others:
        return Doubt(description=f"It may be meant for {', '.join(others)}, of another customer.")
    return None


def _find_doubt(session: Session, order: Order, row: MpesaReceipt, now: datetime) -> Doubt | None:
    if is_going_back(session, row.receipt):
        return Doubt(description="The money is on its way back to the payer.")
    facts = facts_of(row)
    if not _amount_fits(session, order, facts.amount_cents):
        return Doubt(description="The amount is not what the order waits for, nor a part of it.")
    return find_doubt_of_payer(session, order, facts, now)


def _amount_fits(session: Session, order: Order, cents: int) -> bool:
    """A part of what is due on an order that waits, or all that one costs which has expired."""
    if order.status == OrderStatus.PENDING:
        due = due_shillings(order, money_of(session, [order.id])[order.id])
        return cents <= due * CENTS_PER_SHILLING
    total = whole_shillings(order.total_cents) * CENTS_PER_SHILLING
    return order.status == OrderStatus.EXPIRED and cents == total


def _orders_of_others(
    session: Session, order: Order, facts: ReceiptFacts, now: datetime
) -> list[str]:
    suggested = suggest_orders(session, facts, now)
    telling = [one.order_id for one in suggested if one.clue in _TELLING]
    others = select(Order.number).where(Order.id.in_(telling), Order.user_id != order.user_id)
    return list(session.scalars(others.order_by(Order.id)))
