"""What the register of receipts says against the word of a person."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.models import LIVE_REFUNDS, MpesaReceipt, Order, Payment, ReceiptState, Refund
from app.services.exceptions.take_up import Case
from app.utils.money import cents_to_wire


def amount_on_record(case: Case, named_cents: int | None) -> int:
    """What was named; else what M-Pesa reported of the receipt; else what was asked for.

    Raises InvalidInput where none of them says how much it was.
    """
    if named_cents is not None:
        return named_cents
    if case.row is not None and case.row.state != ReceiptState.WRITTEN_OFF:
        return case.row.amount_cents
    if case.payment is not None and case.payment.mpesa_receipt is None:
        return case.payment.amount_cents
    raise InvalidInput.field("amount", "Say how much it was: nothing on record tells.")


def refuse_taken(session: Session, row: MpesaReceipt | None, order: Order, cents: int) -> None:
    """Raises Conflict for a receipt that stands for other money, or for another amount."""
    if row is None or row.state == ReceiptState.WRITTEN_OFF:
        return
    if row.state == ReceiptState.REFUNDED:
        raise taken(row.receipt)
    if row.state == ReceiptState.MATCHED and row.payment_id is not None:
        holder = session.get_one(Payment, row.payment_id)
        if holder.order_id != order.id:
            raise taken(row.receipt)
    if row.amount_cents != cents:
        raise Conflict(
            f"M-Pesa reported receipt {row.receipt} with KES {cents_to_wire(row.amount_cents)}.",
            code="receipt_amount_differs",
        )
    going = exists().where(Refund.receipt == row.receipt, Refund.state.in_(LIVE_REFUNDS))
    if session.scalar(select(going)):
        raise Conflict(
            "A refund of this money is under way. Wait for its end.", code="refund_under_way"
        )


def taken(receipt: str) -> Conflict:
    return Conflict(
        f"Receipt {receipt} stands for other money. Look at the statement again.",
        code="receipt_taken",
    )
