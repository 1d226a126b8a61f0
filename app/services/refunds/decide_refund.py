"""The second pair of eyes: another admin lets a refund go, or does not."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden
from app.models import Refund, RefundKind, RefundState, Task, TaskKind
from app.policies import Actor
from app.services.records import solve_tasks
from app.services.refund_shares import refunded_cents_of
from app.services.refunds.move_refund import (
    HeldRefund,
    Step,
    hold_refund,
    move_refund,
    require_refunder,
)
from app.services.refunds.plan_refund import require_refundable
from app.services.refunds.request_refund import first_look
from app.services.refunds.values import RefundRules


def approve_refund(
    session: Session, actor: Actor, refund_id: int, rules: RefundRules, now: datetime
) -> Refund:
    """Let a refund go that another admin asked for; it may be sent from now on.

    Raises Forbidden for who asked for it, NotFound, and Conflict for one that does not wait for it
    or whose money cannot go back any more.
    """
    require_refunder(actor)
    held = hold_refund(session, refund_id)
    refund = held.refund
    if refund.state != RefundState.AWAITING_APPROVAL:
        raise Conflict(
            f"Refund {refund.id} is {refund.state}: there is nothing to approve.",
            code="refund_not_awaiting_approval",
        )
    if refund.requested_by == actor.user_id:
        raise Forbidden("Another admin approves what you asked for.", code="own_refund")
    _require_still_refundable(session, held)
    move_refund(
        session,
        refund,
        RefundState.CREATED,
        Step("approval", actor.user_id),
        now,
        approved_by=actor.user_id,
        next_check_at=first_look(refund.kind, rules, now),
    )
    _solve_approval(session, refund, "approved", f"Refund {refund.id} may go.", actor, now)
    return refund


def reject_refund(
    session: Session, actor: Actor, refund_id: int, reason: str, now: datetime
) -> Refund:
    """Let a refund not go. Who asked for it may take it back so.

    That is possible before it is approved, and for one by hand until it is done. Raises NotFound,
    and Conflict for one that is past that.
    """
    require_refunder(actor)
    refund = hold_refund(session, refund_id).refund
    is_undone = refund.kind == RefundKind.BY_HAND and refund.state == RefundState.CREATED
    if refund.state != RefundState.AWAITING_APPROVAL and not is_undone:
        raise Conflict(
            f"Refund {refund.id} is {refund.state} and can no longer be called off.",
            code="refund_not_rejectable",
        )
    move_refund(
        session,
        refund,
        RefundState.REJECTED,
        Step("rejection", actor.user_id, reason),
        now,
        result_desc=reason,
        next_check_at=None,
        leased_until=None,
        finished_at=now,
    )
    _solve_approval(session, refund, "rejected", reason, actor, now)
    return refund


def _require_still_refundable(session: Session, held: HeldRefund) -> None:
    """What was asked for days ago may have become too much since, or wrong."""
    refund = held.refund
    if held.order is None or held.payment is None:
        return  # its receipt belongs to nobody else while this refund is live
    require_refundable(session, held.order, held.payment)
    if refunded_cents_of(session, refund.receipt) + refund.amount_cents > held.payment.amount_cents:
        raise Conflict(
            "Less than that is left of this payment by now. Reject it, and ask for what is left.",
            code="refund_exceeds_payment",
        )


def _solve_approval(
    session: Session, refund: Refund, action: str, reason: str, actor: Actor, now: datetime
) -> None:
    mine = (Task.refund_id == refund.id) & Task.kind.in_(
        (TaskKind.REFUND_APPROVAL, TaskKind.UNKNOWN_REFUND)
    )
    solve_tasks(session, mine, action, reason, now, actor_id=actor.user_id)
