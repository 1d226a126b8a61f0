"""The steps of a refund's life: which are allowed, how it is locked, and how one is taken."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.errors import Forbidden, NotFound
from app.models import (
    MpesaReceipt,
    Order,
    Payment,
    Refund,
    RefundEvent,
    RefundState,
)
from app.policies import Actor, may_refund
from app.services.payment_evidence import lock_payment
from app.services.receipts import find_receipt

ALLOWED_MOVES: dict[RefundState, frozenset[RefundState]] = {
    RefundState.AWAITING_APPROVAL: frozenset(
        {RefundState.CREATED, RefundState.REJECTED, RefundState.UNKNOWN}
    ),
    RefundState.CREATED: frozenset(
        {
            RefundState.PENDING,
            RefundState.SUCCEEDED,
            RefundState.FAILED,
            RefundState.UNKNOWN,
            RefundState.REJECTED,
        }
    ),
    RefundState.PENDING: frozenset(
        {RefundState.SUCCEEDED, RefundState.FAILED, RefundState.UNKNOWN}
    ),
    RefundState.UNKNOWN: frozenset(
        {RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED}
    ),
    RefundState.FAILED: frozenset({RefundState.SUCCEEDED}),
    RefundState.SUCCEEDED: frozenset(),
    RefundState.REJECTED: frozenset(),
}
"""``unknown → pending`` is an acknowledgement that came late; ``failed → succeeded`` is money that
went all the same, and money wins. What was done by hand alone goes from ``created`` to
``rejected``: it was not done after all. ``awaiting_approval → unknown`` is a restore's: after the
backup it may have been approved and sent.
"""

_LONGEST = 500


@dataclass(frozen=True, slots=True)
class HeldRefund:
    """A refund with what its money belongs to, all locked until the transaction ends.

    Order and payment are None for money that has no order.
    """

    refund: Refund
    order: Order | None
    payment: Payment | None


@dataclass(frozen=True, slots=True)
class Step:
    """By whom or by which news a step is taken, and what there is to say about it."""

    source: str
    actor_id: int | None = None
    detail: str | None = None


def require_refunder(actor: Actor) -> None:
    """Raises Forbidden for who may not give money back."""
    if not may_refund(actor):
        raise Forbidden("Only an admin gives money back.")


def hold_refund(session: Session, refund_id: int) -> HeldRefund:
    """The order, then the payment (or the receipt that has none), then the refund, as they are now.

    Money without an order may have found one since; then it is that payment's. Raises NotFound.
    """
    named = session.execute(
        select(Refund.receipt, Refund.payment_id, MpesaReceipt.payment_id.label("found_id"))
        .outerjoin(MpesaReceipt, MpesaReceipt.receipt == Refund.receipt)
        .where(Refund.id == refund_id)
    ).one_or_none()
    if named is None:
        raise NotFound("There is no such refund.", code="refund_not_found")
    payment_id = named.payment_id or named.found_id
    if payment_id is None:
        row = find_receipt(session, named.receipt)
        payment_id = row.payment_id if row is not None else None
    order, payment = lock_payment(session, payment_id) if payment_id is not None else (None, None)
    refund = session.scalars(
        select(Refund)
        .where(Refund.id == refund_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    return HeldRefund(refund, order, payment)


def move_refund(
    session: Session,
    refund: Refund,
    to: RefundState,
    step: Step,
    now: datetime,
    **values: object,
) -> None:
    """Take one allowed step, on condition that the refund still stands where we saw it.

    Raises RuntimeError when it does not: the caller holds its lock, so that is a bug.
    """
    before = RefundState(refund.state)
    if to not in ALLOWED_MOVES[before]:
        raise RuntimeError(f"A refund never goes from {before} to {to}.")
    moved = session.execute(
        update(Refund)
        .where(Refund.id == refund.id, Refund.state == before)
        .values(**{"state": to, "updated_at": now, **values})
        .returning(Refund.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        raise RuntimeError(f"Refund {refund.id} moved under our lock.")
    session.refresh(refund)
    record_refund_event(session, refund, before, step, now)


def record_refund_event(
    session: Session, refund: Refund, before: RefundState | str | None, step: Step, now: datetime
) -> None:
    """Put a step of a refund, or news that moved nothing, into its history."""
    session.add(
        RefundEvent(
            refund_id=refund.id,
            from_state=before,
            to_state=refund.state,
            source=step.source,
            actor_id=step.actor_id,
            detail=step.detail[:_LONGEST] if step.detail else None,
            created_at=now,
        )
    )
    session.flush()
