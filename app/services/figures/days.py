"""Sales, orders and the ends of payments by the day, added up by the database.

A day is Nairobi's, from midnight to midnight, three hours before that of UTC. A sale is one that
the ledger has booked: no column of an order is believed about money.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, String, distinct, exists, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.functions import GenericFunction

from app.models import (
    Account,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    Order,
    OrderLine,
    Payment,
    PaymentState,
)
from app.policies import Actor, fulfillable_orders, visible_payments
from app.utils.clock import EAT

SALES_DAYS = 60
"""Thirty days, and the thirty before them to hold them against."""

OUTCOME_DAYS = 30


class _nairobi_day(GenericFunction[str]):  # noqa: N801 - it is a function of SQL
    """The day of a Moment in Nairobi, as ``2026-11-22``, whatever zone the connection is in."""

    type = String()
    inherit_cache = True


@compiles(_nairobi_day, "sqlite")
def _on_sqlite(element: _nairobi_day, compiler: Any, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, '+3 hours')"


@compiles(_nairobi_day, "postgresql")
def _on_postgresql(element: _nairobi_day, compiler: Any, **options: Any) -> str:
    moment = compiler.process(element.clauses, **options)
    return f"to_char(timezone(INTERVAL '3 hours', {moment}), 'YYYY-MM-DD')"


@dataclass(frozen=True, slots=True)
class SalesDay:
    """``placed`` orders came in on this day; ``sold`` ones were paid on it, for ``cents``."""

    day: date
    placed: int = 0
    sold: int = 0
    cents: int = 0


@dataclass(frozen=True, slots=True)
class OutcomeDay:
    """The payments that were asked for on this day, by how they stand now."""

    day: date
    succeeded: int = 0
    cancelled: int = 0
    failed: int = 0
    unknown: int = 0
    """Without an answer: on a phone at this moment, or never heard of again."""


@dataclass(frozen=True, slots=True)
class Period:
    """The last ``days`` days, today among them, beside as many before them."""

    days: int
    placed: int
    sold: int
    cents: int
    cents_before: int

    @property
    def change_percent(self) -> int | None:
        """How much more (or less) was sold than before; None where nothing was."""
        if not self.cents_before:
            return None
        return round(100 * (self.cents - self.cents_before) / self.cents_before)


def read_sales(session: Session, actor: Actor, now: datetime) -> list[SalesDay]:
    """Each of the last SALES_DAYS days, oldest first; a seller's count their own lines alone."""
    since, days = _last_days(now, SALES_DAYS)
    orders = (
        select(_nairobi_day(Order.created_at), func.count(Order.id))
        .where(Order.created_at >= since, fulfillable_orders(actor))
        .group_by(_nairobi_day(Order.created_at))
    )
    placed = {row[0]: row[1] for row in session.execute(orders)}
    sales = _all_sales(since) if actor.is_admin else _sales_of(actor, since)
    sold = {row[0]: (row[1], int(row[2])) for row in session.execute(sales)}
    return [SalesDay(day, placed.get(str(day), 0), *sold.get(str(day), (0, 0))) for day in days]


def read_outcomes(session: Session, actor: Actor, now: datetime) -> list[OutcomeDay]:
    """Each of the last OUTCOME_DAYS days, oldest first, of the payments that the actor may see."""
    since, days = _last_days(now, OUTCOME_DAYS)
    day = _nairobi_day(Payment.created_at)
    rows = session.execute(
        select(day, Payment.status, func.count(Payment.id))
        .where(Payment.created_at >= since, visible_payments(actor))
        .group_by(day, Payment.status)
    )
    found: dict[str, dict[str, int]] = {}
    for key, status, count in rows:
        counts = found.setdefault(key, {})
        outcome = _OUTCOMES.get(status, "unknown")
        counts[outcome] = counts.get(outcome, 0) + count
    return [OutcomeDay(day, **found.get(str(day), {})) for day in days]


def compare_periods(days: Sequence[SalesDay], lengths: Sequence[int]) -> list[Period]:
    """The last so many days of ``days`` beside as many before them, for each length."""
    periods = []
    for length in lengths:
        latest, before = days[-length:], days[-2 * length : -length]
        periods.append(
            Period(
                days=length,
                placed=sum(day.placed for day in latest),
                sold=sum(day.sold for day in latest),
                cents=sum(day.cents for day in latest),
                cents_before=sum(day.cents for day in before),
            )
        )
    return periods


_OUTCOMES: dict[str, str] = {
    PaymentState.SUCCEEDED: "succeeded",
    PaymentState.REFUNDED: "succeeded",  # the money came, whatever became of it later
    PaymentState.CANCELLED: "cancelled",
    PaymentState.FAILED: "failed",
}


def _all_sales(since: datetime) -> Select[*tuple[Any, ...]]:
    """Day, orders sold, cents earned, of the whole shop."""
    day = _nairobi_day(LedgerEvent.created_at)
    return (
        select(day, func.count(LedgerEvent.id), -func.sum(LedgerEntry.amount_cents))
        .join(LedgerEntry, LedgerEntry.event_id == LedgerEvent.id)
        .where(*_booked_since(since), LedgerEntry.account == Account.SALES)
        .group_by(day)
    )


def _sales_of(actor: Actor, since: datetime) -> Select[*tuple[Any, ...]]:
    """The same of one seller: what their own lines in sold orders add up to."""
    day = _nairobi_day(LedgerEvent.created_at)
    return (
        select(
            day,
            func.count(distinct(LedgerEvent.order_id)),
            func.sum(OrderLine.quantity * OrderLine.unit_price_cents),
        )
        .join(OrderLine, OrderLine.order_id == LedgerEvent.order_id)
        .where(*_booked_since(since), OrderLine.seller_id == actor.user_id)
        .group_by(day)
    )


def _booked_since(since: datetime) -> tuple[ColumnElement[bool], ...]:
    """A sale that was undone, because its money was not there, never was one."""
    entry = aliased(LedgerEntry)
    undone = exists().where(
        entry.order_id == LedgerEvent.order_id,
        entry.account == Account.SALES,
        entry.amount_cents > 0,
    )
    return LedgerEvent.kind == LedgerEventKind.SALE, LedgerEvent.created_at >= since, ~undone


def _last_days(now: datetime, count: int) -> tuple[datetime, list[date]]:
    """The moment at which the first of the last ``count`` days began, and those days."""
    today = now.astimezone(EAT).date()
    days = [today - timedelta(days=ago) for ago in range(count - 1, -1, -1)]
    return datetime.combine(days[0], time(), EAT), days
