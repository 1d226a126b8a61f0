"""What does not match becomes a matter for a person, once; what matches later is one no more."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.models import (
    LineKind,
    Payment,
    Refund,
    StatementLine,
    Task,
    TaskKind,
    TaskStatus,
)
from app.services.reconciliation.refunds import IS_KNOWN, find_line_of
from app.services.reconciliation.values import Report, Row
from app.services.records import Matter, file_task, solve_tasks
from app.services.statements import LATE_ROWS
from app.utils.clock import EAT
from app.utils.money import cents_to_wire

MOST_TASKS = 50
"""Beyond so many in one report something else is wrong, and one task says so."""

_MISSING = "missing_there:"
_REFUND_MISSING = "refund_missing_there:"
_REVERSED = "reversed:"


def file_differences(session: Session, report: Report, now: datetime) -> int:
    """File what does not match, close what does by now; answers how many matters are new."""
    _solve_found(session, now)
    matters = [
        *_missing_payments(report, now),
        *_missing_refunds(report, now),
        *_different_payments(report),
        *_different_refunds(report),
        *_unknown_reversals(report),
    ]
    if len(matters) > MOST_TASKS:
        return int(file_task(session, _too_many(report, len(matters)), now))
    return sum(
        file_task(
            session,
            matter,
            now,
            payment=session.get(Payment, row.payment_id) if row.payment_id else None,
            order_id=row.order_id,
            refund_id=row.refund_id,
            receipt=row.receipt,
        )
        for matter, row in matters
    )


_Matters = Iterable[tuple[Matter, Row]]


def _missing_payments(report: Report, now: datetime) -> _Matters:
    for row in report.payments.missing_there.rows:
        if row.age(now) > LATE_ROWS:
            what = f"receipt {row.receipt}" if row.receipt else f"payment {row.payment_id}"
            yield (
                _matter(
                    f"KES {cents_to_wire(row.cents)} ({what}) is not on M-Pesa's books",
                    f"We counted it at {_moment(row.moved_at)}, M-Pesa's books cover that time,"
                    " and it does not stand in them. Look it up in M-Pesa's portal. If the money"
                    " never came, the order was paid by mistake.",
                    f"{_MISSING}{row.receipt or row.payment_id}",
                ),
                row,
            )


def _missing_refunds(report: Report, now: datetime) -> _Matters:
    for row in report.refunds.missing_there.rows:
        if row.age(now) > LATE_ROWS:
            yield (
                _matter(
                    f"Refund {row.refund_id} of KES {cents_to_wire(row.cents)} is not on M-Pesa's"
                    " books",
                    f"It ended well at {_moment(row.moved_at)}, M-Pesa's statement covers that"
                    " time, and it does not stand in it. Look it up in M-Pesa's portal: the"
                    " customer may still wait for the money.",
                    f"{_REFUND_MISSING}{row.refund_id}",
                ),
                row,
            )


def _different_payments(report: Report) -> _Matters:
    for row in report.payments.different.rows:
        ours, theirs = cents_to_wire(row.ours_cents or 0), cents_to_wire(row.theirs_cents or 0)
        yield (
            _matter(
                f"Receipt {row.receipt} is KES {ours} here and KES {theirs} there",
                "M-Pesa's books say another amount than ours. The books are unchanged. Look it up"
                " in M-Pesa's portal.",
                f"difference:{row.receipt}:{row.theirs_cents}",
            ),
            row,
        )


def _different_refunds(report: Report) -> _Matters:
    for row in report.refunds.different.rows:
        ours, theirs = cents_to_wire(row.ours_cents or 0), cents_to_wire(row.theirs_cents or 0)
        yield (
            _matter(
                f"Refund {row.refund_id} is KES {ours} here and KES {theirs} there",
                "M-Pesa's statement says another amount than our books, which are unchanged. Look"
                " it up in M-Pesa's portal.",
                f"refund_difference:{row.refund_id}:{row.theirs_cents}",
            ),
            row,
        )


def _unknown_reversals(report: Report) -> _Matters:
    for row in report.refunds.missing_here.rows:
        undone = f"receipt {row.said}" if row.said else "a payment that it does not name"
        yield (
            _matter(
                f"M-Pesa reversed KES {cents_to_wire(row.cents)} that we did not give back",
                f"The statement shows {row.receipt} at {_moment(row.moved_at)}: it undoes {undone},"
                " and no refund here has gone through. The customer or M-Pesa may have done it."
                " Record it as a refund that was made by hand.",
                f"{_REVERSED}{row.receipt}",
            ),
            row,
        )


def _too_many(report: Report, count: int) -> Matter:
    since = report.span.since.astimezone(EAT)
    return _matter(
        f"{count} payments and refunds do not match M-Pesa's books",
        f"They are of the period that begins on {since:%Y-%m-%d}. So many at once are rarely"
        " single mistakes: see whether the statement is of the right account, and read the report"
        " in the office.",
        f"differences:{since:%Y-%m-%d}:{report.span.until.astimezone(EAT):%Y-%m-%d}",
    )


def _matter(title: str, description: str, dedupe_key: str) -> Matter:
    return Matter(
        kind=TaskKind.STATEMENT_DIFFERENCE,
        title=title,
        description=description,
        dedupe_key=dedupe_key,
    )


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(EAT):%Y-%m-%d %H:%M} (Nairobi)"


def _solve_found(session: Session, now: datetime) -> None:
    """What one side lacked once stands in it now."""
    reversals = select(StatementLine.receipt).where(
        StatementLine.kind == LineKind.REVERSAL, IS_KNOWN
    )
    recorded = Task.dedupe_key.startswith(_REVERSED) & Task.receipt.in_(reversals)
    solve_tasks(session, recorded, "recorded", "A refund stands for it now.", now)
    tasks = session.scalars(
        select(Task).where(
            Task.kind == TaskKind.STATEMENT_DIFFERENCE,
            Task.status != TaskStatus.DONE,
            Task.dedupe_key.startswith(_MISSING) | Task.dedupe_key.startswith(_REFUND_MISSING),
        )
    ).all()
    found = [task.id for task in tasks if _is_found(session, task)]
    if found:
        reason = "It stands on M-Pesa's books now."
        solve_tasks(session, Task.id.in_(found), "found", reason, now)


def _is_found(session: Session, task: Task) -> bool:
    if task.refund_id is not None:
        refund = session.get_one(Refund, task.refund_id)
        lines = session.scalars(
            select(StatementLine).where(
                StatementLine.amount_cents < 0,
                (StatementLine.receipt == refund.refund_receipt)
                | (StatementLine.linked_receipt == refund.receipt),
            )
        )
        return find_line_of(refund, list(lines)) is not None
    receipt = task.receipt
    if receipt is None and task.payment_id is not None:
        receipt = session.get_one(Payment, task.payment_id).mpesa_receipt
    line = select(StatementLine.id).where(
        and_(StatementLine.receipt == receipt, StatementLine.kind == LineKind.PAYMENT)
    )
    return receipt is not None and session.scalar(line.limit(1)) is not None
