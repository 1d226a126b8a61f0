"""What a person did or saw in M-Pesa's portal: that the money went back, or that it did not.

It always works, whatever is set up with Safaricom and whatever it answers.
"""

import re
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.models import Refund, RefundKind, RefundState, Task, TaskKind, TaskStatus
from app.policies import Actor
from app.services.constraints import breaks
from app.services.records import solve_tasks
from app.services.refund_shares import find_live_refund
from app.services.refunds.finish_refund import find_obstacle, is_payment_receipt, succeed
from app.services.refunds.move_refund import (
    HeldRefund,
    Step,
    hold_refund,
    move_refund,
    record_refund_event,
    require_refunder,
)

_RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
_BY_HAND = "Given back by hand in M-Pesa's portal."


def record_by_hand(
    session: Session, actor: Actor, refund_id: int, refund_receipt: str, now: datetime
) -> Refund:
    """Count a refund as done because a person says so and names M-Pesa's receipt for it.

    For one by hand, and for any of which nobody knows what became of it or that had failed. One
    whose success M-Pesa's books do not show gets this receipt in place of the one that was
    reported. Raises NotFound, InvalidInput for what is no receipt of a refund, and Conflict for a
    refund that does not wait for a person, or whose money or receipt is another's by now.
    """
    require_refunder(actor)
    receipt = _read_receipt(session, refund_receipt)
    held = hold_refund(session, refund_id)
    refund = held.refund
    try:
        if is_contradicted(session, refund):
            _replace_receipt(session, actor, refund, receipt, now)
        else:
            _count_as_done(session, actor, held, receipt, now)
    except IntegrityError as error:
        if not breaks(error, "uq_refunds_refund_receipt"):
            raise
        raise Conflict(
            f"Receipt {receipt} stands for another refund.", code="refund_does_not_fit"
        ) from error
    return refund


def record_not_gone(
    session: Session, actor: Actor, refund_id: int, reason: str, now: datetime
) -> Refund:
    """End a refund of which nobody knew because a person saw that its money did not go back.

    Should M-Pesa say otherwise later, money wins. Raises NotFound, and Conflict for a refund of
    which it is known, or still to be heard, what became of it.
    """
    require_refunder(actor)
    refund = hold_refund(session, refund_id).refund
    if refund.state != RefundState.UNKNOWN:
        raise Conflict(
            f"Refund {refund.id} is {refund.state}: only of one that is unknown does a person say"
            " that it did not go.",
            code="refund_not_unknown",
        )
    move_refund(
        session,
        refund,
        RefundState.FAILED,
        Step("person", actor.user_id, reason),
        now,
        result_desc=reason,
        next_check_at=None,
        leased_until=None,
        finished_at=now,
    )
    mine = and_(*_doubts_about(refund.id))
    solve_tasks(session, mine, "not_gone", reason, now, actor_id=actor.user_id)
    return refund


def is_contradicted(session: Session, refund: Refund) -> bool:
    """Whether M-Pesa's books do not show a success that was reported, and nobody has looked yet."""
    doubt = exists().where(*_doubts_about(refund.id), Task.status != TaskStatus.DONE)
    return refund.state == RefundState.SUCCEEDED and bool(session.scalar(select(doubt)))


def _doubts_about(refund_id: int) -> tuple[ColumnElement[bool], ...]:
    return (Task.refund_id == refund_id, Task.kind == TaskKind.UNKNOWN_REFUND)


def _count_as_done(
    session: Session, actor: Actor, held: HeldRefund, receipt: str, now: datetime
) -> None:
    _require_waiting(session, held.refund)
    if obstacle := find_obstacle(session, held, receipt):
        raise Conflict(obstacle, code="refund_does_not_fit")
    succeed(
        session,
        held,
        Step("person", actor.user_id, receipt),
        now,
        refund_receipt=receipt,
        result_code=held.refund.result_code,
        sentence=_BY_HAND,
    )


def _replace_receipt(
    session: Session, actor: Actor, refund: Refund, receipt: str, now: datetime
) -> None:
    """The money is on the books as gone, and by this receipt it really went."""
    is_same = receipt == refund.refund_receipt
    reason = (
        f"M-Pesa's portal shows receipt {receipt}."
        if is_same
        else f"It went by receipt {receipt}, not by {refund.refund_receipt}."
    )
    refund.refund_receipt = receipt
    refund.updated_at = now
    session.flush()
    step = Step("person", actor.user_id, reason)
    record_refund_event(session, refund, refund.state, step, now)
    action = "found" if is_same else "given_again"
    doubts = and_(*_doubts_about(refund.id))
    solve_tasks(session, doubts, action, reason, now, actor_id=actor.user_id)


def _read_receipt(session: Session, text: str) -> str:
    receipt = "".join(text.split()).upper()
    if not _RECEIPT.fullmatch(receipt):
        raise InvalidInput.field(
            "refund_receipt", "Must be M-Pesa's receipt, like UKM1A2B3C4: letters and digits."
        )
    if is_payment_receipt(session, receipt):
        raise InvalidInput.field(
            "refund_receipt", "This is the receipt of a payment. A refund has one of its own."
        )
    return receipt


def _require_waiting(session: Session, refund: Refund) -> None:
    is_by_hand = refund.kind == RefundKind.BY_HAND and refund.state == RefundState.CREATED
    if not is_by_hand and refund.state not in (RefundState.UNKNOWN, RefundState.FAILED):
        raise Conflict(
            f"Refund {refund.id} is {refund.state}: it waits for nobody's hand.",
            code="refund_not_recordable",
        )
    live_id = find_live_refund(session, refund.receipt)
    if live_id not in (None, refund.id):
        raise Conflict(
            "Another refund of this money is under way.", code="refund_under_way", refund_id=live_id
        )
