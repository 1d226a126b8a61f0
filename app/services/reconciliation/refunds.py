"""Refunds of one period on M-Pesa's books and on ours."""

from collections.abc import Iterable, Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LineKind,
    MpesaReceipt,
    Order,
    Payment,
    Refund,
    RefundKind,
    RefundState,
    StatementLine,
)
from app.services.reconciliation.covers import covers_of_payouts, covers_of_refunds
from app.services.reconciliation.values import MOST_ROWS, Cover, Group, Row, Side
from app.services.statements import Numbers, Span, shop_began

_WENT_BACK = (LineKind.REVERSAL, LineKind.PAYOUT)
IS_KNOWN = (
    select(Refund.id)
    .where(
        Refund.state == RefundState.SUCCEEDED,
        or_(
            Refund.refund_receipt == StatementLine.receipt,
            and_(
                Refund.receipt == StatementLine.linked_receipt,
                Refund.kind != RefundKind.PAYOUT,
            ),
        ),
    )
    .exists()
)
"""A condition on lines of reversals: a refund of ours stands for it."""


def compare_refunds(session: Session, span: Span, covers: list[Cover], numbers: Numbers) -> Side:
    """Payouts that we did not ask for are the merchant's own affair; reversals never are."""
    side = Side()
    done = session.execute(
        select(Refund, Order.number)
        .outerjoin(Order, Order.id == Refund.order_id)
        .where(
            Refund.state == RefundState.SUCCEEDED,
            Refund.finished_at >= span.since,
            Refund.finished_at < span.until,
        )
        .order_by(Refund.finished_at, Refund.id)
    ).all()
    lines = _lines_of(session, [refund for refund, _ in done])
    payouts, reversals = covers_of_payouts(covers, numbers), covers_of_refunds(covers, numbers)
    for refund, number in done:
        found = find_line_of(refund, lines)
        row = _row_of(refund, number, found)
        readings = payouts if refund.kind == RefundKind.PAYOUT else reversals
        group = _group_of(side, row, found, readings)
        _add(group, row, named=group is side.missing_there or group is side.different)
    for row in _reversals_we_lack(session, span):
        _add(side.missing_here, row)
    return side


def find_line_of(refund: Refund, lines: Iterable[StatementLine]) -> StatementLine | None:
    """The line that shows this refund: by its own receipt, or as the reversal of its payment,
    which a payout is not.
    """
    named = [line for line in lines if line.receipt == refund.refund_receipt]
    undone = [
        line
        for line in lines
        if line.kind == LineKind.REVERSAL
        and line.linked_receipt == refund.receipt
        and refund.kind != RefundKind.PAYOUT
    ]
    return next(iter(named or undone), None)


def _lines_of(session: Session, refunds: Sequence[Refund]) -> Sequence[StatementLine]:
    if not refunds:
        return []
    receipts = {refund.refund_receipt for refund in refunds if refund.refund_receipt}
    undone = {refund.receipt for refund in refunds}
    return session.scalars(
        select(StatementLine)
        .where(
            StatementLine.kind.in_(_WENT_BACK),
            StatementLine.amount_cents < 0,
            or_(StatementLine.receipt.in_(receipts), StatementLine.linked_receipt.in_(undone)),
        )
        .order_by(StatementLine.id)
    ).all()


def _row_of(refund: Refund, number: str | None, line: StatementLine | None) -> Row:
    return Row(
        moved_at=refund.finished_at or refund.created_at,
        receipt=refund.refund_receipt or (line.receipt if line is not None else None),
        ours_cents=refund.amount_cents,
        theirs_cents=-line.amount_cents if line is not None else None,
        said=refund.receipt,
        payment_id=refund.payment_id,
        refund_id=refund.id,
        order_id=refund.order_id,
        order_number=number,
    )


def _group_of(side: Side, row: Row, line: StatementLine | None, readings: list[Cover]) -> Group:
    if line is not None:
        return side.matched if row.ours_cents == row.theirs_cents else side.different
    is_covered = any(cover.span.holds(row.moved_at) for cover in readings)
    return side.missing_there if is_covered else side.not_covered


def _reversals_we_lack(session: Session, span: Span) -> list[Row]:
    """What M-Pesa undid though no refund of ours is known to have gone through."""
    began = shop_began(session)
    if began is None:
        return []
    lines = session.scalars(
        select(StatementLine)
        .where(
            StatementLine.kind == LineKind.REVERSAL,
            StatementLine.amount_cents < 0,
            StatementLine.transacted_at >= max(span.since, began),
            StatementLine.transacted_at < span.until,
            ~IS_KNOWN,
        )
        .order_by(StatementLine.transacted_at, StatementLine.id)
    ).all()
    named = [line.linked_receipt for line in lines if line.linked_receipt]
    tried, undone = _refunds_of(session, named), _undone_payments(session, named)
    rows: dict[str, Row] = {}
    for line in lines:
        refund = tried.get(line.linked_receipt or "")
        payment, number = undone.get(line.linked_receipt or "", (None, None))
        rows.setdefault(
            line.receipt,
            Row(
                moved_at=line.transacted_at,
                receipt=line.receipt,
                theirs_cents=-line.amount_cents,
                said=line.linked_receipt,
                refund_id=refund.id if refund is not None else None,
                payment_id=payment.id if payment is not None else None,
                order_id=payment.order_id if payment is not None else None,
                order_number=number,
            ),
        )
    return list(rows.values())


def _refunds_of(session: Session, receipts: list[str]) -> dict[str, Refund]:
    """The latest refund of each payment, however it ended."""
    found = session.scalars(select(Refund).where(Refund.receipt.in_(receipts)).order_by(Refund.id))
    return {refund.receipt: refund for refund in found}


def _undone_payments(session: Session, receipts: list[str]) -> dict[str, tuple[Payment, str]]:
    """The payments with these receipts, and the numbers of their orders."""
    found = session.execute(
        select(MpesaReceipt.receipt, Payment, Order.number)
        .join(Payment, Payment.id == MpesaReceipt.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(MpesaReceipt.receipt.in_(receipts))
    )
    return {receipt: (payment, number) for receipt, payment, number in found}


def _add(group: Group, row: Row, *, named: bool = True) -> None:
    group.count += 1
    group.cents += row.cents
    if named and len(group.rows) < MOST_ROWS:
        group.rows.append(row)
