"""The checks: each finds rows that must not be there, and counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Order, Payment
from app.services.audit import AuditLimits, audit
from drill.books import compare
from drill.evidence import (
    Told,
    count_roads,
    read_attempts,
    read_bookings,
    read_matters,
    read_movements,
    read_order_numbers,
    sum_owed,
)
from drill.report import Check, Money
from drill.values import Comparison, Fault, Movement
from drill.wrongs import (
    Row,
    find_doubled_orders,
    find_forgotten,
    find_open_attempts,
    find_overdue_orders,
    find_pestered_phones,
    find_stolen_receipts,
    find_undecided_claims,
    find_unread_messages,
    find_wrong_stock,
)

_AUDIT_LIMITS = AuditLimits(open_payment_seconds=1, inbox_seconds=1)
_OVERDUE_BY = timedelta(seconds=5)


@dataclass(frozen=True)
class Findings:
    """Of one look at the database. ``roads`` are those by which receipts were first heard of."""

    movements: Sequence[Movement]
    comparison: Comparison
    checks: Sequence[Check]
    orders: int
    attempts: int
    owed: Money
    roads: Mapping[str, int]


def examine(session: Session, told: Told, now: datetime) -> Findings:
    """Hold what is in the database against what the drill knows by itself. Changes nothing."""
    movements = read_movements(told.moved, read_order_numbers(session), told.typed)
    comparison = compare(
        movements,
        read_bookings(session),
        read_attempts(session),
        read_matters(session),
    )
    checks = [
        *check_books(comparison),
        *_check_stock(session, told),
        _counted("open attempts", find_open_attempts(session)),
        _counted("claims undecided", find_undecided_claims(session)),
        _counted("receipts given to another", find_stolen_receipts(session, movements)),
        _counted("messages unread", find_unread_messages(session)),
        _counted("orders not let go in time", find_overdue_orders(session, now - _OVERDUE_BY)),
        _counted("acknowledged and forgotten", find_forgotten(session, told)),
        _counted("orders made twice", find_doubled_orders(session)),
        _counted("phones rung too often", find_pestered_phones(told)),
        _counted(
            "audit findings",
            [
                Row(f"{one.invariant} {one.subject}", one.detail)
                for one in audit(session, now, _AUDIT_LIMITS)
            ],
        ),
    ]
    return Findings(
        movements,
        comparison,
        checks,
        orders=session.scalar(select(func.count()).select_from(Order)) or 0,
        attempts=session.scalar(select(func.count()).select_from(Payment)) or 0,
        owed=Money(*sum_owed(session)),
        roads=count_roads(session),
    )


def check_books(comparison: Comparison) -> list[Check]:
    """Lost and doubled by themselves, and what all that is unexplained comes to."""
    rows = {
        fault: [
            Row(one.subject, one.detail) for one in comparison.unexplained if one.fault is fault
        ]
        for fault in Fault
    }
    others = [
        Row(f"{one.subject} ({one.fault})", one.detail)
        for one in comparison.unexplained
        if one.fault not in {Fault.LOST, Fault.DOUBLED}
    ]
    by_movement = sum(one.cents for one in comparison.unexplained)
    by_order = sum(abs(cents) for cents in comparison.differences.values())
    return [
        _counted("payments lost", rows[Fault.LOST]),
        _counted("payments counted twice", rows[Fault.DOUBLED]),
        Check(
            "shillings unexplained",
            max(by_movement, by_order) / 100,
            [
                *others,
                *(
                    Row(f"order {order or '(none)'}", f"is wrong by KES {cents / 100:.2f}")
                    for order, cents in sorted(comparison.differences.items())
                ),
            ],
        ),
    ]


def _check_stock(session: Session, told: Told) -> list[Check]:
    oversold, units, strange = find_wrong_stock(session, told.units)
    return [
        Check("units oversold", units, oversold),
        _counted("shelves that do not add up", strange),
    ]


def _counted(name: str, rows: Sequence[Row]) -> Check:
    return Check(name, len(rows), rows)
