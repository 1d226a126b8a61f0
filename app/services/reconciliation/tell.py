"""Telling the administrators that M-Pesa's books and ours do not match."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import StatementImport, User
from app.policies import Role
from app.services.reconciliation.values import Report
from app.services.records import notify
from app.utils.clock import EAT


def tell_admins(session: Session, report: Report, now: datetime) -> int:
    """Leave a message for each administrator if the report is not clean; answers for how many.

    A shop that has never read a book of M-Pesa's is told of a day without a look at them only
    where there was money on it.
    """
    if report.is_clean or not _is_worth_a_word(session, report):
        return 0
    admins = session.scalars(
        select(User.id)
        .where(User.role == Role.ADMIN.value, User.suspended_at.is_(None))
        .order_by(User.id)
    ).all()
    day = f"{report.span.since.astimezone(EAT):%Y-%m-%d}"
    for admin_id in admins:
        notify(
            session,
            admin_id,
            "reconciliation",
            title=f"M-Pesa's books of {day} are not clear",
            body=f"{describe(report)} See the report in the office.",
            now=now,
        )
    return len(admins)


def describe(report: Report) -> str:
    """What is not clean, in sentences."""
    told = []
    for side, what in ((report.payments, "Payments"), (report.refunds, "Refunds")):
        for group, how in (
            (side.missing_here, "on M-Pesa's books and not on ours"),
            (side.missing_there, "on our books and not on M-Pesa's"),
            (side.different, "with two amounts"),
        ):
            if group.count:
                told.append(f"{what} {how}: {group.count}.")
    if report.unreadable:
        told.append(f"Lines that could not be read: {report.unreadable}.")
    if report.gaps:
        told.append("A part of the time is not covered by any book of M-Pesa's.")
    if report.refunds.not_covered.count:
        told.append(f"Refunds that could not be compared: {report.refunds.not_covered.count}.")
    return " ".join(told) or "Everything matches."


def _is_worth_a_word(session: Session, report: Report) -> bool:
    if report.differs or report.unreadable:
        return True
    if report.payments.not_covered.count or report.refunds.not_covered.count:
        return True
    is_read = select(StatementImport.id).where(StatementImport.finished_at.is_not(None)).limit(1)
    return session.scalar(is_read) is not None
