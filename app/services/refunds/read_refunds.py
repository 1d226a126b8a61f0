"""Refunds as admins see them: listed, found, and each with all that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, aliased

from app.errors import NotFound
from app.models import (
    LIVE_REFUNDS,
    InboxMessage,
    LedgerEntry,
    LedgerEvent,
    LedgerEventKind,
    MpesaRequest,
    Order,
    Payment,
    PaymentState,
    Refund,
    RefundEvent,
    RefundState,
    Task,
    User,
)
from app.policies import Actor
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.refunds.move_refund import require_refunder
from app.services.refunds.record_by_hand import is_contradicted

_asker = aliased(User)
_approver = aliased(User)


@dataclass(frozen=True, slots=True)
class RefundFilter:
    """Which refunds are wanted; what is None does not matter."""

    status: RefundState | None = None
    order_id: int | None = None
    transaction_id: int | None = None
    mpesa_receipt: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund with the names that belong to it; one that is missing is empty."""

    refund: Refund
    order_number: str
    asker_name: str
    approver_name: str


@dataclass(frozen=True, slots=True)
class RefundStanding:
    """A payment with its refunds: how much of it has gone back, and how much still may."""

    payment: Payment
    refunds: Sequence[Refund]

    @property
    def refunded_cents(self) -> int:
        return sum(
            refund.amount_cents for refund in self.refunds if refund.state == RefundState.SUCCEEDED
        )

    @property
    def left_cents(self) -> int:
        return self.payment.amount_cents - self.refunded_cents

    @property
    def is_open(self) -> bool:
        """Whether a refund could be asked for: there is money with a receipt, and none under way.

        What else stands against it shows when it is asked for.
        """
        is_live = any(refund.state in LIVE_REFUNDS for refund in self.refunds)
        has_money = self.payment.status == PaymentState.SUCCEEDED
        return has_money and self.payment.mpesa_receipt is not None and not is_live


@dataclass(frozen=True, slots=True)
class NamedStep:
    """A step of a refund, and who took it; empty where it was news."""

    event: RefundEvent
    actor_name: str


@dataclass(frozen=True, slots=True)
class RefundFile:
    """A refund with its steps, its requests, what Safaricom posted about it, what the books say
    of it and its tasks; oldest first.
    """

    shown: ListedRefund
    steps: Sequence[NamedStep]
    requests: Sequence[MpesaRequest]
    messages: Sequence[InboxMessage]
    entries: Sequence[LedgerEntry]
    tasks: Sequence[Task]
    is_contradicted: bool

    @property
    def refund(self) -> Refund:
        return self.shown.refund


def find_refund(session: Session, actor: Actor, refund_id: int) -> Refund:
    """Raises Forbidden, NotFound."""
    require_refunder(actor)
    refund = session.get(Refund, refund_id, populate_existing=True)
    if refund is None:
        raise NotFound("There is no such refund.", code="refund_not_found")
    return refund


def list_refunds(
    session: Session, actor: Actor, wanted: RefundFilter, page: PageRequest
) -> Page[Refund]:
    """Newest first. Raises Forbidden."""
    require_refunder(actor)
    newest_first = [SortKey(Refund.id, descending=True)]
    return paginate(session, select(Refund).where(*_conditions(wanted)), newest_first, page)


def list_named_refunds(
    session: Session, actor: Actor, wanted: RefundFilter, page: PageRequest
) -> Page[ListedRefund]:
    """As list_refunds, with the names that belong to each."""
    require_refunder(actor)
    newest_first = [SortKey(Refund.id, descending=True)]
    found = paginate(session, _named().where(*_conditions(wanted)), newest_first, page)
    return Page([_shown(row) for row in found.rows], found.next_cursor)


def refunds_of_receipts(session: Session, receipts: Sequence[str]) -> Sequence[Refund]:
    """Every refund of these receipts, the first asked for first."""
    theirs = select(Refund).where(Refund.receipt.in_(receipts))
    return session.scalars(theirs.order_by(Refund.id)).all()


def refunds_of_order(session: Session, order_id: int) -> Sequence[Refund]:
    """Every refund of an order's money, the first asked for first."""
    return session.scalars(
        select(Refund).where(Refund.order_id == order_id).order_by(Refund.id)
    ).all()


def find_refund_file(session: Session, actor: Actor, refund_id: int) -> RefundFile:
    """Raises Forbidden, NotFound."""
    refund = find_refund(session, actor, refund_id)
    steps = session.execute(
        select(RefundEvent, User.username)
        .outerjoin(User, User.id == RefundEvent.actor_id)
        .where(RefundEvent.refund_id == refund.id)
        .order_by(RefundEvent.id)
    )
    requests = session.scalars(
        select(MpesaRequest).where(MpesaRequest.refund_id == refund.id).order_by(MpesaRequest.id)
    ).all()
    about = [request.id for request in requests]
    entries = (
        select(LedgerEntry)
        .join(LedgerEvent, LedgerEvent.id == LedgerEntry.event_id)
        .where(
            LedgerEvent.kind == LedgerEventKind.REFUND,
            LedgerEvent.reference == f"refund:{refund.id}",
        )
    )
    messages = select(InboxMessage).where(InboxMessage.request_id.in_(about))
    tasks = select(Task).where(Task.refund_id == refund.id)
    return RefundFile(
        shown=_shown(session.execute(_named().where(Refund.id == refund.id)).one()),
        steps=[NamedStep(event, name or "") for event, name in steps],
        requests=requests,
        messages=session.scalars(messages.order_by(InboxMessage.id)).all(),
        entries=session.scalars(entries.order_by(LedgerEntry.id)).all(),
        tasks=session.scalars(tasks.order_by(Task.id)).all(),
        is_contradicted=is_contradicted(session, refund),
    )


def _named() -> Select[*tuple[Any, ...]]:
    return (
        select(Refund, Order.number, _asker.username, _approver.username)
        .outerjoin(Order, Order.id == Refund.order_id)
        .outerjoin(_asker, _asker.id == Refund.requested_by)
        .outerjoin(_approver, _approver.id == Refund.approved_by)
    )


def _conditions(wanted: RefundFilter) -> list[ColumnElement[bool]]:
    conditions = [
        column == value
        for column, value in (
            (Refund.state, wanted.status),
            (Refund.order_id, wanted.order_id),
            (Refund.payment_id, wanted.transaction_id),
            (Refund.receipt, wanted.mpesa_receipt),
        )
        if value is not None
    ]
    if wanted.created_after is not None:
        conditions.append(Refund.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(Refund.created_at < wanted.created_before)
    return conditions


def _shown(row: Any) -> ListedRefund:
    refund, number, asker, approver = row
    return ListedRefund(refund, number or "", asker or "", approver or "")
