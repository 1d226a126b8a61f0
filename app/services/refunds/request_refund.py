"""The first step of a refund: the wish to give money back goes on record, and nothing is sent."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.models import Payment, Refund, RefundKind, RefundState, TaskKind
from app.policies import Actor
from app.services.records import Matter, file_task
from app.services.refunds.move_refund import Step, record_refund_event
from app.services.refunds.plan_refund import RefundPlan, plan_refund, plan_refund_of_receipt
from app.services.refunds.values import RefundRequest, RefundRules
from app.utils.money import cents_to_wire


def request_refund(
    session: Session,
    actor: Actor,
    payment_id: int,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    """Put the wish to give a payment back, or a part of it, on record; send nothing.

    Above the limit it waits for a second admin. Raises as plan_refund does.
    """
    plan = plan_refund(session, actor, payment_id, ask, rules)
    return _record(session, actor, plan, ask, rules, now)


def request_refund_of_receipt(
    session: Session,
    actor: Actor,
    receipt: str,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    """As request_refund, for money that has no order. Raises as plan_refund_of_receipt does."""
    plan = plan_refund_of_receipt(session, actor, receipt, ask, rules)
    return _record(session, actor, plan, ask, rules, now)


def _record(
    session: Session,
    actor: Actor,
    plan: RefundPlan,
    ask: RefundRequest,
    rules: RefundRules,
    now: datetime,
) -> Refund:
    source, waits = plan.source, plan.needs_approval
    refund = Refund(
        kind=plan.kind,
        state=RefundState.AWAITING_APPROVAL if waits else RefundState.CREATED,
        order_id=source.order.id if source.order else None,
        payment_id=source.payment.id if source.payment else None,
        receipt=source.receipt,
        amount_cents=plan.amount_cents,
        msisdn=source.msisdn,
        reason=ask.reason,
        restock=ask.restock,
        requested_by=actor.user_id,
        next_check_at=None if waits else first_look(plan.kind, rules, now),
        created_at=now,
        updated_at=now,
    )
    session.add(refund)
    session.flush()
    record_refund_event(session, refund, None, Step("request", actor.user_id, ask.reason), now)
    if waits:
        _ask_for_approval(session, refund, actor, now)
    return refund


def first_look(kind: RefundKind | str, rules: RefundRules, now: datetime) -> datetime:
    """When somebody looks what became of it: soon if it is sent, later if it is done by hand."""
    is_by_hand = kind == RefundKind.BY_HAND
    wait = rules.by_hand_check_seconds if is_by_hand else rules.first_check_seconds
    return now + timedelta(seconds=wait)


def _ask_for_approval(session: Session, refund: Refund, actor: Actor, now: datetime) -> None:
    amount = f"KES {cents_to_wire(refund.amount_cents)}"
    file_task(
        session,
        Matter(
            kind=TaskKind.REFUND_APPROVAL,
            title=f"Approve a refund of {amount} (receipt {refund.receipt})",
            description=f"{actor.username or 'An admin'} asks to give {amount} back:"
            f" {refund.reason}\nAnother admin approves or rejects refund {refund.id}.",
            dedupe_key=f"{TaskKind.REFUND_APPROVAL}:{refund.id}",
        ),
        now,
        payment=session.get(Payment, refund.payment_id) if refund.payment_id else None,
        refund_id=refund.id,
        receipt=refund.receipt,
    )
    session.flush()
