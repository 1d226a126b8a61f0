"""Payments of one period, receipt by receipt, on M-Pesa's books and on ours.

A receipt belongs to the period in which M-Pesa says that it moved, so that each day has it once;
one that M-Pesa's books lack, to the one in which we say so.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LineKind,
    MpesaReceipt,
    Order,
    Payment,
    PaymentState,
    ReceiptState,
    StatementLine,
)
from app.services.reconciliation.covers import lies_in
from app.services.reconciliation.values import MOST_ROWS, Cover, Group, Row, Side
from app.services.statements import Span, shop_began

_COUNTED = (PaymentState.SUCCEEDED, PaymentState.REFUNDED)
_IS_PAYMENT = and_(StatementLine.kind == LineKind.PAYMENT, StatementLine.amount_cents > 0)
_MOVED_AT = func.coalesce(MpesaReceipt.transacted_at, MpesaReceipt.created_at)


def compare_payments(session: Session, span: Span, covers: list[Cover]) -> Side:
    side = Side()
    _compare_their_lines(session, span, side)
    proven = [cover.proves for cover in covers]
    covered = [cover.span for cover in covers]
    _compare_our_receipts(session, span, proven, covered, side)
    _compare_payments_without_receipt(session, span, proven, covered, side)
    return side


def read_unmatched(session: Session, span: Span) -> Group:
    """Money of this period that is in our books, and that nobody knows the order of."""
    held = (*_moved_in(span), MpesaReceipt.state == ReceiptState.UNMATCHED)
    return _receipts(session, and_(*held))


def _their_books(span: Span) -> Any:
    """Each receipt whose first line lies in the period: a payment may stand in several readings."""
    in_span = select(StatementLine.receipt).where(
        _IS_PAYMENT,
        StatementLine.transacted_at >= span.since,
        StatementLine.transacted_at < span.until,
    )
    moved_at = func.min(StatementLine.transacted_at)
    return (
        select(
            StatementLine.receipt,
            func.min(StatementLine.amount_cents).label("low"),
            func.max(StatementLine.amount_cents).label("high"),
            moved_at.label("moved_at"),
            func.max(StatementLine.bill_reference).label("typed"),
            func.max(StatementLine.other_party).label("party"),
        )
        .where(_IS_PAYMENT, StatementLine.receipt.in_(in_span))
        .group_by(StatementLine.receipt)
        .having(moved_at >= span.since)
        .subquery("books")
    )


def _compare_their_lines(session: Session, span: Span, side: Side) -> None:
    books = _their_books(span)
    here = MpesaReceipt.amount_cents
    agrees = and_(books.c.low == here, books.c.high == here)
    began = shop_began(session)
    ours = MpesaReceipt.receipt.is_not(None)
    lacking = and_(~ours, false() if began is None else books.c.moved_at >= began)
    verdict = case((ours & agrees, "matched"), (ours, "different"), (lacking, "missing_here"))
    joined = select(
        verdict.label("verdict"),
        func.count().label("how_many"),
        func.sum(books.c.low).label("cents"),
    ).select_from(books.outerjoin(MpesaReceipt, MpesaReceipt.receipt == books.c.receipt))
    for row in session.execute(joined.group_by(verdict)):
        if row.verdict is not None:
            group: Group = getattr(side, row.verdict)
            group.count, group.cents = row.how_many, int(row.cents)
    for name, condition in (("missing_here", lacking), ("different", ours & ~agrees)):
        group = getattr(side, name)
        if group.count:
            group.rows = _rows_of_theirs(session, books, condition)


def _rows_of_theirs(session: Session, books: Any, condition: ColumnElement[bool]) -> list[Row]:
    statement = (
        select(books, MpesaReceipt.amount_cents, Payment.id, Order.id, Order.number)
        .select_from(books.outerjoin(MpesaReceipt, MpesaReceipt.receipt == books.c.receipt))
        .outerjoin(Payment, Payment.id == MpesaReceipt.payment_id)
        .outerjoin(Order, Order.id == Payment.order_id)
        .where(condition)
        .order_by(books.c.moved_at, books.c.receipt)
        .limit(MOST_ROWS)
    )
    return [
        Row(
            moved_at=moved_at,
            receipt=receipt,
            ours_cents=ours,
            theirs_cents=high if ours == low else low,
            said=typed or party,
            payment_id=payment_id,
            order_id=order_id,
            order_number=number,
        )
        for receipt, low, high, moved_at, typed, party, ours, payment_id, order_id, number in (
            session.execute(statement)
        )
    ]


def _moved_in(span: Span) -> tuple[ColumnElement[bool], ...]:
    """Conditions on MpesaReceipt: it moved in the period, as far as anybody said."""
    told = and_(MpesaReceipt.transacted_at >= span.since, MpesaReceipt.transacted_at < span.until)
    untold = and_(
        MpesaReceipt.transacted_at.is_(None),
        MpesaReceipt.created_at >= span.since,
        MpesaReceipt.created_at < span.until,
    )
    return or_(told, untold), MpesaReceipt.amount_cents > 0


def _compare_our_receipts(
    session: Session, span: Span, proven: list[Span], covered: list[Span], side: Side
) -> None:
    on_their_books = (
        select(StatementLine.id)
        .where(StatementLine.receipt == MpesaReceipt.receipt, _IS_PAYMENT)
        .exists()
    )
    lacking = and_(*_moved_in(span), ~on_their_books)
    is_proven, is_covered = lies_in(_MOVED_AT, proven), lies_in(_MOVED_AT, covered)
    side.missing_there = _receipts(session, lacking & is_proven)
    side.awaited = _receipts(session, lacking & is_covered & ~is_proven, named=False)
    side.not_covered = _receipts(session, lacking & ~is_covered, named=False)


def _receipts(session: Session, condition: ColumnElement[bool], *, named: bool = True) -> Group:
    count, cents = session.execute(
        select(func.count(), func.coalesce(func.sum(MpesaReceipt.amount_cents), 0)).where(condition)
    ).one()
    group = Group(count, int(cents))
    if not count or not named:
        return group
    statement = (
        select(MpesaReceipt, Payment.id, Order.id, Order.number)
        .outerjoin(Payment, Payment.id == MpesaReceipt.payment_id)
        .outerjoin(Order, Order.id == Payment.order_id)
        .where(condition)
        .order_by(_MOVED_AT, MpesaReceipt.receipt)
        .limit(MOST_ROWS)
    )
    for receipt, payment_id, order_id, number in session.execute(statement):
        group.rows.append(
            Row(
                moved_at=receipt.transacted_at or receipt.created_at,
                receipt=receipt.receipt,
                ours_cents=receipt.amount_cents,
                said=receipt.bill_reference or receipt.payer_name,
                payment_id=payment_id,
                order_id=order_id,
                order_number=number,
            )
        )
    return group


def _compare_payments_without_receipt(
    session: Session, span: Span, proven: list[Span], covered: list[Span], side: Side
) -> None:
    """A query said that they were paid, and no receipt was ever named: M-Pesa's books would."""
    statement = (
        select(Payment, Order.number)
        .join(Order, Order.id == Payment.order_id)
        .where(
            Payment.status.in_(_COUNTED),
            Payment.mpesa_receipt.is_(None),
            Payment.finished_at >= span.since,
            Payment.finished_at < span.until,
        )
        .order_by(Payment.finished_at, Payment.id)
    )
    for payment, number in session.execute(statement):
        moved_at = payment.finished_at or payment.updated_at
        if any(one.holds(moved_at) for one in proven):
            group = side.missing_there
        elif any(one.holds(moved_at) for one in covered):
            group = side.awaited
        else:
            group = side.not_covered
        group.count += 1
        group.cents += payment.amount_cents
        if group is side.missing_there and len(group.rows) < MOST_ROWS:
            group.rows.append(
                Row(
                    moved_at=moved_at,
                    ours_cents=payment.amount_cents,
                    payment_id=payment.id,
                    order_id=payment.order_id,
                    order_number=number,
                )
            )
