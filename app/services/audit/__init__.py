"""The invariants of money and stock, each looked for row by row in the database as it stands."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app.services.audit.apart import (
    find_forgotten_refunds,
    find_forgotten_unmatched_money,
    find_receipts_beside_their_payment,
    find_refunds_beside_the_ledger,
    find_refunds_beyond_their_money,
    find_unmatched_beside_the_ledger,
)
from app.services.audit.finding import Finding
from app.services.audit.findings import file_findings
from app.services.audit.money import (
    find_forgotten_money,
    find_payments_beside_the_ledger,
    find_receipts_counted_twice,
    find_unbalanced_events,
    find_unbalanced_goods,
    find_uncovered_orders,
)
from app.services.audit.stock import (
    find_wrong_movements,
    find_wrong_reservations,
)
from app.services.audit.waiting import (
    AuditLimits,
    find_forgotten_claims,
    find_forgotten_messages,
    find_forgotten_payments,
)

__all__ = ["INVARIANTS", "AuditLimits", "Finding", "audit", "checks_of", "file_findings"]


INVARIANTS = {
    "I1": "every ledger event adds up to zero, and payments less refunds equal the ledger",
    "I2": "no receipt counts twice",
    "I3": "on_hand >= reserved >= 0, and reserved equals the active reservations",
    "I4": "stock movements add up to what is on hand and reserved",
    "I5": "an order is paid only if its ledger covers it",
    "I6": "no money is owed, or without an order, without a task for a person",
    "I7": "no payment, refund or claim stays open beyond its deadline without a task",
    "I8": "no message waits in the inbox for over a minute without a person being told",
}


def audit(session: Session, now: datetime, limits: AuditLimits | None = None) -> list[Finding]:
    """Every finding, or an empty list when all invariants hold. Changes nothing."""
    return [finding for check in checks_of(session, now, limits) for finding in check()]


def checks_of(
    session: Session, now: datetime, limits: AuditLimits | None = None
) -> Sequence[Callable[[], Iterator[Finding]]]:
    """What the audit looks for, one thing after another: each may be given a session of its own."""
    limits = limits or AuditLimits()
    return [
        lambda: find_unbalanced_events(session),
        lambda: find_payments_beside_the_ledger(session),
        lambda: find_refunds_beside_the_ledger(session),
        lambda: find_refunds_beyond_their_money(session),
        lambda: find_unmatched_beside_the_ledger(session),
        lambda: find_receipts_counted_twice(session),
        lambda: find_receipts_beside_their_payment(session),
        lambda: find_wrong_reservations(session),
        lambda: find_wrong_movements(session),
        lambda: find_uncovered_orders(session),
        lambda: find_unbalanced_goods(session),
        lambda: find_forgotten_money(session),
        lambda: find_forgotten_unmatched_money(session),
        lambda: find_forgotten_payments(session, now, limits),
        lambda: find_forgotten_refunds(session, now, limits),
        lambda: find_forgotten_claims(session, now, limits),
        lambda: find_forgotten_messages(session, now, limits),
    ]
