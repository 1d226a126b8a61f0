"""The queue of what only a person can decide about money: what waits, since when, for how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, select
from sqlalchemy.orm import Session

from app.errors import Forbidden
from app.models import (
    MONEY_TASKS,
    Account,
    LedgerEntry,
    MpesaReceipt,
    Order,
    Payment,
    Refund,
    Task,
    TaskKind,
    TaskStatus,
    User,
)
from app.policies import Actor
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.use_money import DEBT_TASKS


class QueueOrder(StrEnum):
    OLDEST = "oldest"
    MOST_MONEY = "most_money"


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which matters are wanted; what is None does not matter."""

    is_open: bool = True
    kind: TaskKind | None = None
    assignee_id: int | None = None
    unassigned: bool = False
    filed_before: datetime | None = None
    sort: QueueOrder = QueueOrder.OLDEST


@dataclass(frozen=True, slots=True)
class Queued:
    """A matter in the queue. ``amount_cents`` is what it is about, as far as anybody knows."""

    task: Task
    amount_cents: int
    order_id: int | None
    order_number: str | None
    assignee_name: str | None


@dataclass(frozen=True, slots=True)
class QueueCount:
    """The open matters of one kind, or of all."""

    count: int = 0
    amount_cents: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueCounts:
    total: QueueCount
    by_kind: dict[TaskKind, QueueCount]


def list_exceptions(
    session: Session, actor: Actor, wanted: QueueFilter, page: PageRequest
) -> Page[Queued]:
    """What waits longest first, or what is about the most money. Raises Forbidden."""
    _require_admin(actor)
    keys = [SortKey(Task.created_at), SortKey(Task.id)]
    if wanted.sort is QueueOrder.MOST_MONEY:
        keys.insert(0, SortKey(_amount(), descending=True))
    found = paginate(session, _matching(wanted), keys, page)
    return Page([Queued(*row) for row in found.rows], found.next_cursor, found.total)


def find_queued(session: Session, task_id: int) -> Queued:
    """One matter as the queue shows it, which the caller has found to be one."""
    return Queued(*session.execute(_queued().where(Task.id == task_id)).one())


def count_exceptions(session: Session, actor: Actor) -> QueueCounts:
    """How many wait, of each kind and in all. Raises Forbidden."""
    _require_admin(actor)
    amount = cast(func.sum(_amount()), BigInteger)
    rows = session.execute(
        _joined(select(Task.kind, func.count(Task.id), amount, func.min(Task.created_at)))
        .where(_is_money(), Task.status != TaskStatus.DONE)
        .group_by(Task.kind)
    )
    found = {TaskKind(row[0]): QueueCount(*row[1:]) for row in rows}
    by_kind = {kind: found[kind] for kind in TaskKind if kind in found}
    return QueueCounts(_sum_up(list(by_kind.values())), by_kind)


def _sum_up(counts: Sequence[QueueCount]) -> QueueCount:
    return QueueCount(
        count=sum(one.count for one in counts),
        amount_cents=sum(one.amount_cents for one in counts),
        oldest_at=min((one.oldest_at for one in counts if one.oldest_at), default=None),
    )


def _matching(wanted: QueueFilter) -> Select[*tuple[Any, ...]]:
    is_done = Task.status == TaskStatus.DONE
    statement = _queued().where(_is_money(), ~is_done if wanted.is_open else is_done)
    if wanted.kind is not None:
        statement = statement.where(Task.kind == wanted.kind)
    if wanted.assignee_id is not None:
        statement = statement.where(Task.assignee_id == wanted.assignee_id)
    if wanted.unassigned:
        statement = statement.where(Task.assignee_id.is_(None))
    if wanted.filed_before is not None:
        statement = statement.where(Task.created_at < wanted.filed_before)
    return statement


def _queued() -> Select[*tuple[Any, ...]]:
    return _joined(
        select(Task, _amount(), Order.id, Order.number, User.username)
    ).execution_options(populate_existing=True)


def _joined(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return (
        statement.select_from(Task)
        .outerjoin(Payment, Payment.id == Task.payment_id)
        .outerjoin(Order, Order.id == func.coalesce(Task.order_id, Payment.order_id))
        .outerjoin(MpesaReceipt, MpesaReceipt.receipt == Task.receipt)
        .outerjoin(Refund, Refund.id == Task.refund_id)
        .outerjoin(User, User.id == Task.assignee_id)
    )


def _is_money() -> ColumnElement[bool]:
    return Task.kind.in_(MONEY_TASKS)


def _amount() -> ColumnElement[int]:
    """What a matter is about, in cents. Of a debt it is what is owed still, which other refunds of
    the same order may have made less.
    """
    owed = (
        select(cast(func.coalesce(-func.sum(LedgerEntry.amount_cents), 0), BigInteger))
        .where(LedgerEntry.order_id == Order.id, LedgerEntry.account == Account.REFUNDS_DUE)
        .correlate(Order)
        .scalar_subquery()
    )
    named = func.coalesce(Refund.amount_cents, Payment.amount_cents, MpesaReceipt.amount_cents, 0)
    is_debt = Task.kind.in_(DEBT_TASKS) & (Task.status != TaskStatus.DONE)
    is_less = Payment.id.is_(None) | (owed < Payment.amount_cents)
    return case((is_debt & is_less, owed), else_=named)


def _require_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden("Only an administrator decides about money.")
