"""Money that M-Pesa says came in, by whichever road: counted once, for the order it belongs to.

A confirmation of Safaricom, a pulled row, a line of the statement and the answer to a status
request all come here. Where the receipt is known already, nothing is booked.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    MoneySource,
    MpesaReceipt,
    Order,
    Payment,
    PaymentKind,
    ReceiptState,
    TaskKind,
)
from app.services.answered_prompts import (
    find_answered_prompt,
    find_awaiting_orders,
    settle_answered_prompt,
)
from app.services.find_account import find_account
from app.services.move_order import lock_order
from app.services.receipts import (
    ReceiptFacts,
    find_receipt,
    learn_facts,
    register_receipt,
)
from app.services.records import Matter, file_task
from app.services.refund_shares import is_going_back
from app.services.unmatched_money import attach_money, keep_unmatched, record_paybill_payment
from app.services.use_money import use_money
from app.utils.money import cents_to_wire


class Reception(StrEnum):
    """What became of the news."""

    SETTLED = "settled"
    """It was the money of a prompt, which had no receipt yet."""
    BOOKED = "booked"
    """It is a payment of its own, on the order that the payer named."""
    UNMATCHED = "unmatched"
    """It is in the books, and a person finds out whose it is."""
    KNOWN = "known"
    """It was counted before."""
    DIFFERENT = "different"
    """It was counted before with another amount; a person compares."""


def receive_money(
    session: Session, facts: ReceiptFacts, now: datetime, *, order_id: int | None = None
) -> Reception:
    """Count money once. ``order_id`` says whose it is where no account number does.

    Safe to call again, late, or from two hands at once.
    """
    if order_id is None:
        order_id = _find_order(session, facts)
    if order_id is None:
        order_id = _find_written_off(session, facts.receipt)
    order = lock_order(session, order_id) if order_id is not None else None
    row = find_receipt(session, facts.receipt)
    if row is None and order is not None:
        return _take_for_order(session, order, facts, now)
    if row is None:
        if keep_unmatched(session, facts, now):
            return Reception.UNMATCHED
        row = find_receipt(session, facts.receipt)
        if row is None:
            raise RuntimeError(f"Receipt {facts.receipt} is there and is not.")
    return _hear_again(session, row, order, facts, now)


def _find_order(session: Session, facts: ReceiptFacts) -> int | None:
    """By the account number; at a till, where nobody types one, by a prompt that surely fits."""
    if facts.bill_reference:
        return find_account(session, facts.bill_reference)
    awaiting = find_awaiting_orders(session, facts)
    return awaiting.pop() if len(awaiting) == 1 else None


def _take_for_order(
    session: Session, order: Order, facts: ReceiptFacts, now: datetime
) -> Reception:
    prompt = find_answered_prompt(session, order, facts)
    if prompt is not None:
        settle_answered_prompt(session, prompt, facts, now)
        return Reception.SETTLED
    payment = record_paybill_payment(session, order, facts, now)
    if not register_receipt(session, facts, now, payment_id=payment.id, state=ReceiptState.MATCHED):
        raise RuntimeError(f"Receipt {facts.receipt} was taken beside the lock of its order.")
    use_money(session, order, payment, now)
    session.flush()
    return Reception.BOOKED


def _hear_again(
    session: Session, row: MpesaReceipt, order: Order | None, facts: ReceiptFacts, now: datetime
) -> Reception:
    """The receipt is on the register: nothing is counted twice, but more may be known now."""
    if row.state == ReceiptState.WRITTEN_OFF:
        return _count_after_all(session, row, order, facts, now)
    if row.amount_cents != facts.amount_cents:
        _report_difference(session, row, facts, now)
        return Reception.DIFFERENT
    learn_facts(row, facts)
    if order is not None and _is_free(session, row, facts):
        payment = attach_money(session, row, order, now)
        was_asked_for = payment.kind == PaymentKind.STK_PUSH
        return Reception.SETTLED if was_asked_for else Reception.BOOKED
    session.flush()
    return Reception.KNOWN


def _is_free(session: Session, row: MpesaReceipt, facts: ReceiptFacts) -> bool:
    """Nobody's yet, and not on its way back; what a person dismissed is so for a person alone."""
    if row.state == ReceiptState.DISMISSED:
        return facts.source == MoneySource.PERSON
    return row.state == ReceiptState.UNMATCHED and not is_going_back(session, row.receipt)


def _find_written_off(session: Session, receipt: str) -> int | None:
    """The order that a receipt was counted for before a person found that it was not there."""
    return session.scalar(
        select(Payment.order_id)
        .join(MpesaReceipt, MpesaReceipt.payment_id == Payment.id)
        .where(MpesaReceipt.receipt == receipt, MpesaReceipt.state == ReceiptState.WRITTEN_OFF)
    )


def _count_after_all(
    session: Session, row: MpesaReceipt, order: Order | None, facts: ReceiptFacts, now: datetime
) -> Reception:
    """A person had found that it was not there, and M-Pesa says that it is: money wins.

    It is a payment of its own; the one that it was written off from stays as it is.
    """
    if order is None:
        raise RuntimeError(f"Receipt {row.receipt} was written off while it was looked up.")
    payment = record_paybill_payment(session, order, facts, now)
    row.payment_id, row.state = payment.id, ReceiptState.MATCHED
    row.amount_cents, row.source = facts.amount_cents, facts.source
    learn_facts(row, facts)
    use_money(session, order, payment, now)
    session.flush()
    return Reception.BOOKED


def _report_difference(
    session: Session, row: MpesaReceipt, facts: ReceiptFacts, now: datetime
) -> None:
    payment = session.get(Payment, row.payment_id) if row.payment_id is not None else None
    booked, said = cents_to_wire(row.amount_cents), cents_to_wire(facts.amount_cents)
    file_task(
        session,
        Matter(
            kind=TaskKind.STATEMENT_DIFFERENCE,
            title=f"Receipt {row.receipt} is KES {booked} here and KES {said} there",
            description=f"It was counted as KES {booked} by {row.source}; {facts.source} says"
            f" KES {said}. The books are unchanged. Look it up on the M-Pesa statement.",
            dedupe_key=f"difference:{row.receipt}:{facts.amount_cents}",
        ),
        now,
        payment=payment,
        receipt=row.receipt,
    )
    session.flush()
