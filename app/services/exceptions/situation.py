"""How a matter of money stands, read from the rows that it is about."""

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    ClaimState,
    InboxMessage,
    LineKind,
    MoneySource,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    PaymentKind,
    PaymentState,
    ReceiptState,
    Refund,
    RefundKind,
    RefundState,
    StatementLine,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.exceptions.actions import Situation
from app.services.inbox import stuck_message_id
from app.services.use_money import due_back

_CLAIM = f"{TaskKind.PAYMENT_CLAIM}:"
_ON_THEIR_BOOKS = (MoneySource.PULL, MoneySource.STATEMENT, MoneySource.STATUS)


def read_situation(
    session: Session, task: Task, order: Order | None, payment: Payment | None
) -> Situation:
    """Of rows that the caller has read, or locked, just now."""
    row = session.get(MpesaReceipt, task.receipt, populate_existing=True) if task.receipt else None
    refund = session.get(Refund, task.refund_id, populate_existing=True) if task.refund_id else None
    kind = TaskKind(task.kind)
    return Situation(
        kind=kind,
        is_open=task.status != TaskStatus.DONE,
        order=OrderStatus(order.status) if order else None,
        payment=PaymentState(payment.status) if payment else None,
        is_prompt=payment is None or payment.kind == PaymentKind.STK_PUSH,
        is_held=payment is not None and is_held(payment),
        has_receipt=payment is not None and payment.mpesa_receipt is not None,
        names_receipt=task.receipt is not None,
        receipt=ReceiptState(row.state) if row else None,
        is_proved=payment is not None and _is_proved(session, kind, payment),
        owed_cents=due_back(session, order) if order else 0,
        refund=RefundState(refund.state) if refund else None,
        refund_under_way=_refund_under_way(session, task, order),
        claim_is_open=_claim_is_open(session, task),
        message_waits=_message_waits(session, task),
    )


def is_held(payment: Payment) -> bool:
    """Nobody asks M-Pesa about it any more by itself: what it said contradicts what was asked, or
    it never said anything.
    """
    given_up = payment.status == PaymentState.UNKNOWN and payment.next_check_at is None
    return payment.status in LIVE_STATES and (payment.review_reason is not None or given_up)


def find_claim(session: Session, task: Task) -> PaymentClaim | None:
    """The claim of a customer that a task is about: its key names it, or its order and receipt."""
    if task.kind != TaskKind.PAYMENT_CLAIM:
        return None
    number = (task.dedupe_key or "").removeprefix(_CLAIM)
    if number.isdecimal():
        return session.get(PaymentClaim, int(number), populate_existing=True)
    mine = select(PaymentClaim).where(
        PaymentClaim.order_id == task.order_id, PaymentClaim.receipt == task.receipt
    )
    return session.scalar(mine.order_by(PaymentClaim.id.desc()).limit(1))


def lines_of(receipt: str) -> ColumnElement[bool]:
    """A condition on StatementLine: what M-Pesa's books say of a receipt, also that it was taken
    back.
    """
    return or_(StatementLine.receipt == receipt, StatementLine.linked_receipt == receipt)


def _is_proved(session: Session, kind: TaskKind, payment: Payment) -> bool:
    """M-Pesa's own books have the money, or gave it back themselves, which they do with real money
    alone. A notice that came by itself proves nothing against the statement, yet enough where
    another notice is doubted.
    """
    if payment.mpesa_receipt is None:
        return False
    listed = select(func.coalesce(func.sum(StatementLine.amount_cents), 0)).where(
        lines_of(payment.mpesa_receipt),
        StatementLine.kind.in_((LineKind.PAYMENT, LineKind.REVERSAL)),
    )
    on_statement = session.scalar(listed) or 0
    reversed_by_them = exists().where(
        Refund.receipt == payment.mpesa_receipt,
        Refund.kind == RefundKind.REVERSAL,
        Refund.state == RefundState.SUCCEEDED,
    )
    if on_statement > 0 or session.scalar(select(reversed_by_them)):
        return True
    row = session.get(MpesaReceipt, payment.mpesa_receipt, populate_existing=True)
    if row is None:
        return False
    # no callback names an account or a payer: another road has told of it as well
    told_apart = row.bill_reference is not None or row.payer_name is not None
    heard_twice = told_apart or row.source == MoneySource.C2B
    if kind == TaskKind.DISPUTED_PAYMENT and heard_twice:
        return True
    return row.source in _ON_THEIR_BOOKS and not _is_listed(session, row.receipt)


def _is_listed(session: Session, receipt: str) -> bool:
    """Whether the statement speaks of it at all: it then has the last word."""
    return bool(session.scalar(select(exists().where(lines_of(receipt)))))


def _claim_is_open(session: Session, task: Task) -> bool:
    """One that was refused by itself, while a person is still to compare, may yet be right."""
    claim = find_claim(session, task)
    return claim is not None and claim.state != ClaimState.ACCEPTED


def _refund_under_way(session: Session, task: Task, order: Order | None) -> bool:
    mine = Refund.receipt == task.receipt
    if order is not None:
        mine = or_(mine, Refund.order_id == order.id)
    return bool(session.scalar(select(exists().where(mine, Refund.state.in_(LIVE_REFUNDS)))))


def _message_waits(session: Session, task: Task) -> bool:
    message_id = stuck_message_id(task)
    if message_id is None:
        return False
    waits = exists().where(InboxMessage.id == message_id, InboxMessage.processed_at.is_(None))
    return bool(session.scalar(select(waits)))
