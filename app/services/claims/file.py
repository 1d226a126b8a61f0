"""A buyer says: "I have paid", and names the receipt."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden
from app.models import (
    IS_UNDECIDED_CLAIM,
    UNDECIDED_CLAIMS,
    ClaimState,
    MpesaReceipt,
    Order,
    Payment,
    PaymentClaim,
    ReceiptState,
)
from app.policies import Actor, may_pay_for
from app.services.claims.end import Doubt, file_claim_task, hand_claim_over
from app.services.claims.register import find_told, judge_by_register, use_where_all_fits
from app.services.claims.said import ASKING, COUNTED, NAMED_BY_ANOTHER
from app.services.insert_once import insert_once
from app.services.move_order import lock_visible_order


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a buyer says. ``can_ask`` is whether M-Pesa can be asked about a receipt."""

    order_id: int
    receipt: str
    can_ask: bool


def claim_payment(session: Session, actor: Actor, ask: ClaimRequest, now: datetime) -> PaymentClaim:
    """Put a claim on record, and decide it at once if the money is known.

    An ``open`` one is to be asked about. The same claim again is the one that is under way. Raises
    NotFound, Forbidden for anybody but the buyer, and Conflict for money that is counted.
    """
    order = lock_visible_order(session, actor, ask.order_id)
    if not may_pay_for(actor, order):
        raise Forbidden("Only its buyer says that an order is paid.")
    row = find_told(session, ask.receipt)
    _refuse_counted(session, row, order)
    known = _find(session, order, ask.receipt, PaymentClaim.state.in_(UNDECIDED_CLAIMS))
    if known is not None:
        return known
    if not _insert(session, order, ask.receipt, now):
        return _judge_second(session, order, ask.receipt, row, now)
    claim = _find(session, order, ask.receipt, PaymentClaim.state == ClaimState.OPEN)
    if claim is None:
        raise RuntimeError(f"The claim of receipt {ask.receipt} was inserted and is not there.")
    if row is not None:
        judge_by_register(session, order, claim, row, now)
    elif not ask.can_ask:
        doubt = Doubt(description="M-Pesa cannot be asked: no initiator is set.")
        hand_claim_over(session, claim, doubt, now)
    return claim


def _refuse_counted(session: Session, row: MpesaReceipt | None, order: Order) -> None:
    """Money counts once; whose order it is counted for is nobody else's to know."""
    if row is None or row.state in (ReceiptState.UNMATCHED, ReceiptState.DISMISSED):
        return
    counted_for = None
    if row.payment_id is not None:
        counted_for = session.get_one(Payment, row.payment_id).order_id
    if counted_for == order.id:
        raise Conflict(
            "This M-Pesa payment is counted for this order already.", code="receipt_counted"
        )
    raise Conflict(COUNTED, code="receipt_counted")


def _find(
    session: Session, order: Order, receipt: str, condition: ColumnElement[bool]
) -> PaymentClaim | None:
    return session.scalar(
        select(PaymentClaim)
        .where(PaymentClaim.order_id == order.id, PaymentClaim.receipt == receipt, condition)
        .order_by(PaymentClaim.id.desc())
        .limit(1)
    )


def _insert(session: Session, order: Order, receipt: str, now: datetime) -> bool:
    """A new open claim; False while another customer's of the same receipt is undecided."""
    values = {
        "order_id": order.id,
        "user_id": order.user_id,
        "receipt": receipt,
        "state": ClaimState.OPEN,
        "message": ASKING,
        "next_check_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return insert_once(session, PaymentClaim, "receipt", values, among=IS_UNDECIDED_CLAIM)


def _judge_second(
    session: Session, order: Order, receipt: str, row: MpesaReceipt | None, now: datetime
) -> PaymentClaim:
    """Another customer has named the receipt: whose phone paid has the money, and where that is
    not known a person compares the two.
    """
    claim = _find(session, order, receipt, PaymentClaim.message == NAMED_BY_ANOTHER)
    if claim is None:
        claim = _record_second(session, order, receipt, now)
    is_free = row is not None and row.state == ReceiptState.UNMATCHED
    if row is None or not is_free or use_where_all_fits(session, order, claim, row, now):
        doubt = Doubt(description="Another customer has named it for an order of theirs. Compare.")
        file_claim_task(session, claim, doubt, now)
    return claim


def _record_second(session: Session, order: Order, receipt: str, now: datetime) -> PaymentClaim:
    claim = PaymentClaim(
        order_id=order.id,
        user_id=order.user_id,
        receipt=receipt,
        state=ClaimState.REFUSED,
        message=NAMED_BY_ANOTHER,
        created_at=now,
        updated_at=now,
    )
    session.add(claim)
    session.flush()
    return claim
