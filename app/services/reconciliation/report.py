"""M-Pesa's books beside ours for one period: what matches, what does not, what nobody looked at."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Task, TaskStatus, User
from app.services.reconciliation.covers import covers_of_payments, read_covers
from app.services.reconciliation.payments import compare_payments, read_unmatched
from app.services.reconciliation.refunds import compare_refunds
from app.services.reconciliation.values import Report, Row
from app.services.statements import Numbers, Span, gaps_between
from app.utils.clock import EAT


def day_span(first: date, last: date | None = None) -> Span:
    """A day of Nairobi, or several, from midnight to midnight."""
    since = datetime.combine(first, time(), EAT)
    return Span(since, datetime.combine(last or first, time(), EAT) + timedelta(days=1))


def yesterday_span(now: datetime) -> Span:
    """The day before this one, in Nairobi."""
    return day_span(now.astimezone(EAT).date() - timedelta(days=1))


def reconcile(session: Session, span: Span, numbers: Numbers, now: datetime) -> Report:
    """Compare one period as the two books stand now. Changes nothing.

    Of a period that is not over, only what has passed is asked for.
    """
    covers = read_covers(session, span)
    readings = covers_of_payments(covers, numbers)
    report = Report(
        span=span,
        made_at=now,
        covers=covers,
        gaps=gaps_between(
            [cover.span for cover in readings], Span(span.since, min(span.until, now))
        )
        if span.since < now
        else [],
        payments=compare_payments(session, span, readings),
        refunds=compare_refunds(session, span, covers, numbers),
        unmatched=read_unmatched(session, span),
    )
    _name_owners(session, report)
    return report


def _name_owners(session: Session, report: Report) -> None:
    """Say of each row which task it has, and who does that."""
    groups = [
        group
        for side in (report.payments, report.refunds)
        for group in (side.missing_here, side.missing_there, side.different)
    ]
    groups.append(report.unmatched)
    rows = [row for group in groups for row in group.rows]
    by_receipt, by_payment, by_refund = _tasks_of(session, rows)
    for group in groups:
        group.rows = [
            _with_owner(
                row,
                by_receipt.get(row.receipt or "")
                or by_refund.get(row.refund_id or 0)
                or by_payment.get(row.payment_id or 0),
            )
            for row in group.rows
        ]


_Owned = tuple[int, str | None]


def _with_owner(row: Row, owned: _Owned | None) -> Row:
    return row.owned_by(*owned) if owned is not None else row


def _tasks_of(
    session: Session, rows: Sequence[Row]
) -> tuple[dict[str, _Owned], dict[int, _Owned], dict[int, _Owned]]:
    """The latest open task of each receipt, payment and refund, with who it was given to."""
    receipts = {row.receipt for row in rows if row.receipt}
    payments = {row.payment_id for row in rows if row.payment_id}
    refunds = {row.refund_id for row in rows if row.refund_id}
    about = Task.receipt.in_(receipts) | Task.payment_id.in_(payments) | Task.refund_id.in_(refunds)
    found = session.execute(
        select(Task, User.username)
        .outerjoin(User, User.id == Task.assignee_id)
        .where(Task.status != TaskStatus.DONE, about)
        .order_by(Task.id)
    )
    by_receipt: dict[str, _Owned] = {}
    by_payment: dict[int, _Owned] = {}
    by_refund: dict[int, _Owned] = {}
    for task, owner in found:
        if task.receipt:
            by_receipt[task.receipt] = (task.id, owner)
        if task.refund_id:
            by_refund[task.refund_id] = (task.id, owner)
        if task.payment_id:
            by_payment[task.payment_id] = (task.id, owner)
    return by_receipt, by_payment, by_refund
