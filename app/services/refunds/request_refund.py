"""The first step of a refund: the wish to give money back goes on record, and nothing is sent."""

from dataclasses import dataclass
from datetime import datetime, timedelta

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
    RefundState,
    TaskKind,
)
from app.policies import Actor
from app.services.move_order import is_disputed
from app.services.payment_evidence import lock_payment
from app.services.receipts import find_receipt
from app.services.records import Matter, file_task
from app.services.refund_shares import find_live_refund, refunded_cents_of, undoes_sale
from app.services.refunds.choose_kind import choose_kind
from app.services.refunds.move_refund import Step, record_refund_event, require_refunder
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


def request_refund(
    session: Session,
    actor: Actor,
    payment_id: int,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    """Put the wish to give a payment back, or a part of it, on record; send nothing.

    Above the limit it waits for a second admin. Raises Forbidden, NotFound, InvalidInput, and
    Conflict while the payment cannot be given back, or not so much of it.
    """
    require_refunder(actor)
    if session.get(Payment, payment_id) is None:
        raise NotFound("There is no such transaction.", code="transaction_not_found")
    order, payment = lock_payment(session, payment_id)  # a second hand waits here
    receipt = require_refundable(session, order, payment)
    source = Source(receipt, payment.amount_cents, payment.msisdn, order, payment)
    return _request(session, actor, source, ask, rules, now)


def request_refund_of_receipt(
    session: Session,
    actor: Actor,
    receipt: str,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    """As request_refund, for money that has no order; it goes back whole.

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
    return _request(session, actor, source, ask, rules, now)


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


def _request(
    session: Session,
    actor: Actor,
    source: Source,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    if (live_id := find_live_refund(session, source.receipt)) is not None:
        raise Conflict(
            "Another refund of this money is under way.", code="refund_under_way", refund_id=live_id
        )
    refunded_cents = refunded_cents_of(session, source.receipt)
    amount_cents = _amount_of(source, ask, refunded_cents)
    kind = choose_kind(
        ask.method,
        rules,
        is_whole=amount_cents == source.amount_cents,
        amount_cents=amount_cents,
        msisdn=source.msisdn,
    )
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
    refund = Refund(
        kind=kind,
        state=RefundState.AWAITING_APPROVAL if needs_approval else RefundState.CREATED,
        order_id=source.order.id if source.order else None,
        payment_id=source.payment.id if source.payment else None,
        receipt=source.receipt,
        amount_cents=amount_cents,
        msisdn=source.msisdn,
        reason=ask.reason,
        restock=ask.restock,
        requested_by=actor.user_id,
        next_check_at=None if needs_approval else first_look(kind, rules, now),
        created_at=now,
        updated_at=now,
    )
    session.add(refund)
    session.flush()
    record_refund_event(session, refund, None, Step("request", actor.user_id, ask.reason), now)
    if needs_approval:
        _ask_for_approval(session, refund, actor, now)
    return refund


def first_look(kind: RefundKind | str, rules: RefundRules, now: datetime) -> datetime:
    """When somebody looks what became of it: soon if it is sent, later if it is done by hand."""
    is_by_hand = kind == RefundKind.BY_HAND
    wait = rules.by_hand_check_seconds if is_by_hand else rules.first_check_seconds
    return now + timedelta(seconds=wait)


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


def _ask_for_approval(session: Session, refund: Refund, actor: Actor, now: datetime) -> None:
    amount = f"KES {cents_to_wire(refund.amount_cents)}"
    file_task(
        session,
        Matter(
            kind=TaskKind.REFUND_APPROVAL,
            title=f"Approve a refund of {amount} (receipt {refund.receipt})",
            description=f"{actor.username or 'An admin'} asks to give {amount} back:"
            f" {refund.reason}\nAnother admin approves or rejects refund {refund.id}.",
            dedupe_key=f"{TaskKind.REFUND_APPROVAL}:{refund.id}",
        ),
        now,
        payment=session.get(Payment, refund.payment_id) if refund.payment_id else None,
        refund_id=refund.id,
        receipt=refund.receipt,
    )
    session.flush()
