"""Money that nobody knows the order of: kept in the books until a person, or later news, finds it.

The caller of what ends it has locked the order (if there is one), then the receipt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.models import (
    MpesaReceipt,
    Order,
    Payment,
    PaymentKind,
    PaymentState,
    ReceiptState,
    Refund,
    Task,
    TaskKind,
)
from app.services.answered_prompts import find_answered_prompt, settle_answered_prompt
from app.services.find_account import suggest_orders
from app.services.ledger import book_dismissed, book_unmatched
from app.services.receipts import ReceiptFacts, match_receipt, register_receipt
from app.services.records import Matter, file_task, record_payment_event, solve_tasks
from app.services.refund_shares import is_going_back
from app.services.settle_payment import PAID_MESSAGE
from app.services.use_money import use_money
from app.services.webhooks.news import tell_of_unmatched_money
from app.utils.money import cents_to_wire
from app.utils.phone import whole_msisdn


def keep_unmatched(session: Session, facts: ReceiptFacts, now: datetime) -> bool:
    """Book money of which nobody knows what it is for; False if the receipt is there by now."""
    if not register_receipt(session, facts, now, payment_id=None, state=ReceiptState.UNMATCHED):
        return False
    row = session.get_one(MpesaReceipt, facts.receipt)
    book_unmatched(session, row, now)
    tell_of_unmatched_money(session, row, now)
    amount = f"KES {cents_to_wire(facts.amount_cents)}"
    file_task(
        session,
        Matter(
            kind=TaskKind.UNMATCHED_MONEY,
            title=f"{amount} came without an order (receipt {facts.receipt})",
            description=_describe_unmatched(session, facts, now),
            dedupe_key=f"{TaskKind.UNMATCHED_MONEY}:{facts.receipt}",
        ),
        now,
        receipt=facts.receipt,
    )
    session.flush()
    return True


@dataclass(frozen=True, slots=True)
class StrayMoney:
    """Money that came without an order, and each refund of it that was asked for."""

    row: MpesaReceipt
    refunds: Sequence[Refund]


def find_stray_money(session: Session, receipt: str) -> StrayMoney:
    """Raises NotFound for a receipt that is not there, or has an order."""
    row = session.get(MpesaReceipt, receipt)
    if row is None or row.payment_id is not None:
        raise NotFound("There is no such receipt.", code="receipt_not_found")
    theirs = select(Refund).where(Refund.receipt == receipt).order_by(Refund.id)
    return StrayMoney(row, session.scalars(theirs).all())


def attach_money(
    session: Session,
    row: MpesaReceipt,
    order: Order,
    now: datetime,
    *,
    actor_id: int | None = None,
    reason: str | None = None,
) -> Payment:
    """The money belongs to this order, and is used for it: as the answer to a prompt, if it is
    one, else as a payment of its own. Such as a person had dismissed may be attached as well.

    Raises Conflict while it is on its way back to the payer.
    """
    if row.state != ReceiptState.DISMISSED:
        _require_unmatched(session, row)
    facts = facts_of(row)
    prompt = find_answered_prompt(session, order, facts)
    if prompt is not None:
        match_receipt(session, row, prompt, now, actor_id=actor_id, reason=reason)
        settle_answered_prompt(session, prompt, facts, now)
        return prompt
    payment = record_paybill_payment(session, order, facts, now)
    match_receipt(session, row, payment, now, actor_id=actor_id, reason=reason)
    use_money(session, order, payment, now)
    session.flush()
    return payment


def dismiss_money(
    session: Session, row: MpesaReceipt, reason: str, now: datetime, *, actor_id: int
) -> None:
    """A person found that the money is no business of the shop: it leaves the shop's debts.

    Raises Conflict while it is on its way back to the payer.
    """
    _require_unmatched(session, row)
    row.state = ReceiptState.DISMISSED
    book_dismissed(session, row, now)
    mine = (Task.receipt == row.receipt) & (Task.kind == TaskKind.UNMATCHED_MONEY)
    solve_tasks(session, mine, "dismissed", reason, now, actor_id=actor_id)
    session.flush()


def record_paybill_payment(
    session: Session, order: Order, facts: ReceiptFacts, now: datetime
) -> Payment:
    """Put money that came by itself on record as a payment of this order, whose books follow."""
    payment = Payment(
        order_id=order.id,
        user_id=order.user_id,
        kind=PaymentKind.PAYBILL,
        status=PaymentState.SUCCEEDED,
        amount_cents=facts.amount_cents,
        msisdn=whole_msisdn(facts.payer_phone),
        mpesa_receipt=facts.receipt,
        amount_verified=True,
        result_code="0",
        customer_message=PAID_MESSAGE,
        created_at=now,
        updated_at=now,
        finished_at=now,
    )
    session.add(payment)
    session.flush()
    record_payment_event(
        session,
        payment.id,
        from_status=None,
        to_status=PaymentState.SUCCEEDED,
        source=facts.source,
        now=now,
        detail=facts.receipt,
    )
    session.flush()
    return payment


def _require_unmatched(session: Session, row: MpesaReceipt) -> None:
    if row.state != ReceiptState.UNMATCHED:
        raise RuntimeError(f"Receipt {row.receipt} is {row.state}, not unmatched.")
    if is_going_back(session, row.receipt):
        raise Conflict(
            f"The money of receipt {row.receipt} is on its way back. Wait for its refund.",
            code="refund_under_way",
        )


def _describe_unmatched(session: Session, facts: ReceiptFacts, now: datetime) -> str:
    typed = f"typed {facts.bill_reference!r} as account" if facts.bill_reference else "named none"
    found = suggest_orders(session, facts, now)
    meant = ", ".join(one.number for one in found)
    guess = f" It may be meant for {meant}." if meant else ""
    return (
        f"The payer {typed}, and no order has that number.{guess} The money is in the books."
        " Attach it to its order, send it back, or dismiss it if it is no business of the shop."
    )


def facts_of(row: MpesaReceipt) -> ReceiptFacts:
    """What is known of a receipt, as a road would tell it."""
    return ReceiptFacts(
        receipt=row.receipt,
        amount_cents=row.amount_cents,
        source=row.source,
        bill_reference=row.bill_reference,
        transacted_at=row.transacted_at,
        payer_phone=row.payer_phone,
        payer_name=row.payer_name,
    )
