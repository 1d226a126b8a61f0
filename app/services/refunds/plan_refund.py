"""What a refund would be: by which way, how much, and whether it may be at all."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound
from app.models import (
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    ReceiptState,
    Refund,
    RefundKind,
)
from app.policies import Actor
from app.services.move_order import is_disputed
from app.services.payment_evidence import lock_payment
from app.services.receipts import find_receipt
from app.services.refund_shares import find_live_refund, refunded_cents_of, undoes_sale
from app.services.refunds.choose_kind import choose_kind
from app.services.refunds.held import refunds_are_held
from app.services.refunds.move_refund import require_refunder
from app.services.refunds.values import RefundRequest, RefundRules
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire
from app.utils.phone import whole_msisdn


@dataclass(frozen=True, slots=True)
class Source:
    """The money that is to go back: its receipt, what it brought, and the phone it came from."""

    receipt: str
    amount_cents: int
    msisdn: str | None
    order: Order | None = None
    payment: Payment | None = None


@dataclass(frozen=True, slots=True)
class RefundPlan:
    """What a refund would be if it were asked for now."""

    source: Source
    kind: RefundKind
    amount_cents: int
    needs_approval: bool


def plan_refund(
    session: Session, actor: Actor, payment_id: int, ask: RefundRequest, rules: RefundRules
) -> RefundPlan:
    """By which way and how much of a payment would go back; its order and itself stay locked.

    Raises Forbidden, NotFound, InvalidInput, and Conflict while the payment cannot be given back,
    or not so much of it.
    """
    require_refunder(actor)
    if session.get(Payment, payment_id) is None:
        raise NotFound("There is no such transaction.", code="transaction_not_found")
    order, payment = lock_payment(session, payment_id)  # a second hand waits here
    receipt = require_refundable(session, order, payment)
    source = Source(receipt, payment.amount_cents, payment.msisdn, order, payment)
    return _plan(session, source, ask, rules)


def plan_refund_of_receipt(
    session: Session, actor: Actor, receipt: str, ask: RefundRequest, rules: RefundRules
) -> RefundPlan:
    """As plan_refund, for money that has no order; it goes back whole.

    Raises Conflict for money that has one, with the id of its transaction.
    """
    require_refunder(actor)
    row = find_receipt(session, receipt)
    if row is None:
        raise NotFound("There is no such receipt.", code="receipt_not_found")
    if row.payment_id is not None:
        raise Conflict(
            f"Receipt {receipt} belongs to transaction {row.payment_id}: refund that.",
            code="receipt_has_an_order",
            transaction_id=row.payment_id,
        )
    if row.state != ReceiptState.UNMATCHED:
        raise Conflict(f"The money of receipt {receipt} is {row.state}.", code="not_refundable")
    if ask.amount_cents not in (None, row.amount_cents):
        raise InvalidInput.field("amount", "Money without an order goes back whole.")
    source = Source(receipt, row.amount_cents, whole_msisdn(row.payer_phone))
    return _plan(session, source, ask, rules)


def require_refundable(session: Session, order: Order, payment: Payment) -> str:
    """The receipt of a payment that can be given back as things stand. Raises Conflict."""
    if payment.status == PaymentState.REFUNDED:
        raise Conflict("This payment has gone back whole.", code="already_refunded")
    if payment.status != PaymentState.SUCCEEDED:
        raise Conflict(
            f"This payment is {payment.status}: there is no money to give back.",
            code="not_refundable",
        )
    if order.status == OrderStatus.PENDING:
        raise Conflict(
            f"Order {order.number} still waits for the rest of its money. Cancel it first.",
            code="order_still_open",
        )
    if is_disputed(session, order.id):
        raise Conflict(
            f"M-Pesa disputes the payment of order {order.number}. Look at its task first.",
            code="payment_disputed",
        )
    if payment.mpesa_receipt is None:
        raise Conflict(
            "M-Pesa has not named the receipt of this payment yet, and a refund needs it.",
            code="receipt_unknown",
        )
    return payment.mpesa_receipt


def _plan(session: Session, source: Source, ask: RefundRequest, rules: RefundRules) -> RefundPlan:
    _refuse_beside_others(session, source, ask)
    refunded_cents = refunded_cents_of(session, source.receipt)
    amount_cents = _amount_of(source, ask, refunded_cents)
    kind = choose_kind(
        ask.method,
        rules,
        is_whole=amount_cents == source.amount_cents,
        amount_cents=amount_cents,
        msisdn=source.msisdn,
    )
    if kind != RefundKind.BY_HAND:
        _refuse_after_restore(session)
    if ask.restock and (
        source.order is None or not undoes_sale(session, source.order, amount_cents)
    ):
        raise Conflict(
            "Goods go back on the shelf only with the whole money of an order that was sold.",
            code="restock_needs_whole_order",
        )
    # All that goes back of one receipt counts, so that no one escapes the limit in small pieces.
    limit_cents = rules.approval_above_shillings * CENTS_PER_SHILLING
    needs_approval = refunded_cents + amount_cents > limit_cents
    return RefundPlan(source, kind, amount_cents, needs_approval)


def _refuse_beside_others(session: Session, source: Source, ask: RefundRequest) -> None:
    live_id = find_live_refund(session, source.receipt)
    if live_id is not None:
        raise Conflict(
            "Another refund of this money is under way.", code="refund_under_way", refund_id=live_id
        )
    if ask.seen_refunds is None:
        return
    theirs = select(func.count()).select_from(Refund).where(Refund.receipt == source.receipt)
    if session.scalar(theirs) != ask.seen_refunds:
        raise Conflict(
            "Another refund of this money was asked for meanwhile. Look at it first.",
            code="refunds_changed",
        )


def _refuse_after_restore(session: Session) -> None:
    if refunds_are_held(session):
        raise Conflict(
            "The shop was restored from a backup, and may have sent this refund after it. Look at"
            " the task about M-Pesa's statement first, or note what M-Pesa's portal shows as made"
            " by hand.",
            code="refunds_held",
        )


def _amount_of(source: Source, ask: RefundRequest, refunded_cents: int) -> int:
    left_cents = source.amount_cents - refunded_cents
    amount_cents = left_cents if ask.amount_cents is None else ask.amount_cents
    if amount_cents > left_cents:
        raise Conflict(
            f"At most KES {cents_to_wire(left_cents)} of this payment can go back.",
            code="refund_exceeds_payment",
            refundable=cents_to_wire(left_cents),
        )
    return amount_cents
