"""The ends of a refund: its money went back, or it did not. Money wins, and counts once."""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.models import (
    MpesaReceipt,
    ReceiptState,
    Refund,
    RefundState,
    Task,
    TaskKind,
)
from app.services.receipts import find_receipt
from app.services.records import Matter, file_task, solve_tasks
from app.services.refund_money import give_money_back
from app.services.refund_shares import refunded_cents_of
from app.services.refunds.move_refund import HeldRefund, Step, move_refund, record_refund_event
from app.services.refunds.values import RefundNews
from app.utils.money import cents_to_wire


def find_obstacle(session: Session, held: HeldRefund, receipt: str | None) -> str | None:
    """Why the books cannot take this refund as done, in a sentence; None if they can.

    It may be more than there was: then somebody gave the money back a second time.
    """
    refund = held.refund
    if receipt is not None:
        other = session.scalar(
            select(Refund.id).where(Refund.refund_receipt == receipt, Refund.id != refund.id)
        )
        if other is not None:
            return f"Its receipt {receipt} stands for refund {other} already."
    brought_cents = held.payment.amount_cents if held.payment else None
    if brought_cents is None:
        row = find_receipt(session, refund.receipt)
        if row is None or row.state != ReceiptState.UNMATCHED:
            state = "unknown" if row is None else row.state
            return f"The money of receipt {refund.receipt} is {state} here."
        brought_cents = row.amount_cents
    given_cents = refunded_cents_of(session, refund.receipt)
    if given_cents + refund.amount_cents > brought_cents:
        return (
            f"KES {cents_to_wire(given_cents)} of the KES {cents_to_wire(brought_cents)} of receipt"
            f" {refund.receipt} had gone back by other refunds."
        )
    return None


def succeed(
    session: Session,
    held: HeldRefund,
    step: Step,
    now: datetime,
    *,
    refund_receipt: str | None,
    result_code: str | None,
    sentence: str,
    confirm_at: datetime | None = None,
) -> None:
    """Count a refund as done, once: no obstacle was found. Its order and books follow."""
    refund, payment = held.refund, held.payment
    if payment is not None and refund.payment_id is None:  # its order was found meanwhile
        refund.payment_id, refund.order_id = payment.id, payment.order_id
        session.flush()
    move_refund(
        session,
        refund,
        RefundState.SUCCEEDED,
        step,
        now,
        refund_receipt=refund_receipt,
        result_code=result_code,
        result_desc=sentence,
        next_check_at=confirm_at,
        leased_until=None,
        check_count=0,  # the checks from here on are the confirmation's
        finished_at=now,
    )
    give_money_back(session, refund, held.order, payment, now)
    doubts = (Task.refund_id == refund.id) & (Task.kind == TaskKind.UNKNOWN_REFUND)
    failures = (Task.receipt == refund.receipt) & (Task.kind == TaskKind.REFUND_FAILED)
    reason = f"Refund {refund.id} went back."
    solve_tasks(session, doubts | failures, "refunded", reason, now, actor_id=step.actor_id)


def fail(session: Session, refund: Refund, news: RefundNews, now: datetime) -> None:
    """Nothing went back and nothing will, as far as anybody knows: a person decides what next."""
    move_refund(
        session,
        refund,
        RefundState.FAILED,
        Step(news.source, detail=f"{news.result_code or 'no code'}: {news.sentence}"),
        now,
        result_code=news.result_code,
        result_desc=news.sentence[:300],
        next_check_at=None,
        leased_until=None,
        finished_at=now,
    )
    mine = (Task.refund_id == refund.id) & (Task.kind == TaskKind.UNKNOWN_REFUND)
    solve_tasks(session, mine, "failed", f"M-Pesa says: {news.sentence}", now)
    _file(
        session,
        refund,
        TaskKind.REFUND_FAILED,
        f"A refund of KES {cents_to_wire(refund.amount_cents)} failed (receipt {refund.receipt})",
        f"{news.sentence} Nothing went back. Once it is mended, refund it again, or give the money"
        " back by hand in M-Pesa's portal and note its receipt.",
        now,
    )


def contradict(
    session: Session, held: HeldRefund, source: str, sentence: str, now: datetime
) -> None:
    """What M-Pesa says does not fit our books: kept, told to a person, and nothing is moved.

    A refund that is still open is nobody's but a person's from here on.
    """
    refund = held.refund
    if not _file(
        session,
        refund,
        TaskKind.UNKNOWN_REFUND,
        f"M-Pesa's word on refund {refund.id} does not fit our books",
        f"M-Pesa says that KES {cents_to_wire(refund.amount_cents)} of receipt {refund.receipt}"
        f" went back. {sentence} Nothing was booked. Look both up on the M-Pesa statement.",
        now,
        dedupe_key=f"contradicted_refund:{refund.id}",
    ):
        return
    step = Step(source, detail=sentence)
    if refund.state in (RefundState.CREATED, RefundState.PENDING):
        move_refund(
            session, refund, RefundState.UNKNOWN, step, now, next_check_at=None, leased_until=None
        )
        return
    refund.next_check_at = refund.leased_until = None
    record_refund_event(session, refund, refund.state, step, now)


def report_unasked_reversal(session: Session, refund: Refund, now: datetime) -> None:
    """The payment had gone back before we asked: by whose hand is for a person to find out."""
    _file(
        session,
        refund,
        TaskKind.STATEMENT_DIFFERENCE,
        f"Receipt {refund.receipt} had gone back before refund {refund.id} asked for it",
        "M-Pesa says that this payment had been reversed already, and no request of this shop can"
        " have done it. It is booked as gone back. Find out in M-Pesa's portal who reversed it.",
        now,
        dedupe_key=f"unasked_reversal:{refund.id}",
    )


def hand_over(session: Session, refund: Refund, sentence: str, now: datetime) -> None:
    """Nobody could say for long: a person looks in M-Pesa's portal and says what became of it."""
    _file(
        session,
        refund,
        TaskKind.UNKNOWN_REFUND,
        f"Nobody knows what became of refund {refund.id}",
        f"{sentence} Look in M-Pesa's portal: if the money went back, note its receipt on the page"
        " of the refund; if it did not, say so there. It is not sent again by itself.",
        now,
    )


def is_payment_receipt(session: Session, receipt: str) -> bool:
    """Whether a receipt is one of money that came in: no refund has it."""
    return bool(session.scalar(select(exists().where(MpesaReceipt.receipt == receipt))))


def _file(
    session: Session,
    refund: Refund,
    kind: TaskKind,
    title: str,
    description: str,
    now: datetime,
    *,
    dedupe_key: str | None = None,
) -> bool:
    is_new = file_task(
        session,
        Matter(kind, title, description, dedupe_key or f"{kind}:{refund.id}"),
        now,
        order_id=refund.order_id,
        refund_id=refund.id,
        receipt=refund.receipt,
    )
    session.flush()
    return is_new
