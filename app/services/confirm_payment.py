"""Holding a believed callback against a status query, after the fact.

The secret in its address makes a callback credible, and a customer who has paid is not kept
waiting. But a secret can leak. So a payment that a callback settled is queried once more, and a
query that contradicts it goes to a person before the goods do.
"""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.models import PaymentState, TaskKind
from app.ports import PushStatus, Verdict
from app.services.payment_evidence import lock_payment
from app.services.records import Matter, file_task, record_payment_event

CONFIRM_AFTER = timedelta(seconds=5)
_TRIES = 5
_PAUSE = timedelta(seconds=30)


def confirm_payment(session: Session, payment_id: int, status: PushStatus, now: datetime) -> None:
    """Note what the query said of a settled payment; no verdict is asked for a few times more."""
    order, payment = lock_payment(session, payment_id)
    payment.leased_until = None
    if payment.status != PaymentState.SUCCEEDED:
        return
    payment.check_count += 1
    if status.verdict is Verdict.NONE:
        tries_left = payment.check_count < _TRIES
        payment.next_check_at = now + _PAUSE * payment.check_count if tries_left else None
        session.flush()
        return
    payment.next_check_at = None
    answer = f"{status.result_code}: {status.result_desc}"
    record_payment_event(
        session,
        payment.id,
        from_status=payment.status,
        to_status=payment.status,
        source="query",
        now=now,
        detail=f"{'confirmed' if status.verdict is Verdict.PAID else 'contradicted'}, {answer}",
    )
    if status.verdict is Verdict.FAILED:
        file_task(
            session,
            Matter(
                kind=TaskKind.DISPUTED_PAYMENT,
                title=f"Do not ship order {order.number} before you have looked",
                description=f"A callback reported payment {payment.id} as paid with receipt"
                f" {payment.mpesa_receipt}, but M-Pesa answers {answer}. Look the receipt up on"
                " the statement: if it is not there, the callback was forged.",
                dedupe_key=f"disputed_payment:{payment.id}",
            ),
            now,
            payment=payment,
        )
    session.flush()
