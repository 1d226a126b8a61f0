"""What a person is told of requests to Safaricom that were not answered as they should be."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import MpesaRequest, Refund, TaskKind
from app.services.records import Matter, file_task


def report_unreadable_answer(
    session: Session, request: MpesaRequest, message_id: int, reason: str, now: datetime
) -> None:
    """A sender who knew the secret said what no reader understands: a person looks at it."""
    _report(
        session,
        request,
        TaskKind.UNREADABLE_CALLBACK,
        f"The answer could not be read: {reason}. It is kept as inbox message {message_id}.",
        now,
    )


def report_refused_settings(
    session: Session, code: str | None, message: str, now: datetime
) -> None:
    """Tell a person that Safaricom does not take our initiator; once a day for each code."""
    file_task(
        session,
        Matter(
            kind=TaskKind.MPESA_CONFIGURATION,
            title="M-Pesa refuses our initiator's settings",
            description=f"{code or 'no code'}: {message} Refunds and questions to M-Pesa do not"
            " work until it is mended. See `python manage.py config check`.",
            dedupe_key=f"mpesa_initiator:{code}:{now:%Y-%m-%d}",
        ),
        now,
    )


def report_mismatch(session: Session, request: MpesaRequest, sentence: str, now: datetime) -> None:
    """An answer came to the address of a request that it does not belong to."""
    _report(session, request, TaskKind.MISMATCHED_CALLBACK, f"{sentence} It moved nothing.", now)


def _report(
    session: Session, request: MpesaRequest, kind: TaskKind, sentence: str, now: datetime
) -> None:
    refund = session.get(Refund, request.refund_id) if request.refund_id is not None else None
    file_task(
        session,
        Matter(
            kind=kind,
            title=f"An answer of M-Pesa's does not fit request {request.id} ({request.kind})",
            description=sentence,
            dedupe_key=f"{kind}:request:{request.id}",
        ),
        now,
        order_id=refund.order_id if refund else None,
        refund_id=request.refund_id,
        receipt=request.receipt,
    )
