"""The last step of a push: what Safaricom answered, or that nobody knows.

The callback may have come first. Then the payment stands further on already, and all that these
functions add is the ids; no answer to a push ever takes a payment back.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.models import Payment, PaymentState, TaskKind
from app.services.records import Matter, file_task, record_payment_event

NO_ANSWER_MESSAGE = (
    "We could not reach M-Pesa for a moment. If your phone shows a prompt, enter your PIN;"
    " we will see the payment. Do not pay twice."
)
_LONGEST = 300
_LONGEST_CODE = 40


def record_acceptance(
    session: Session,
    payment_id: int,
    merchant_request_id: str,
    checkout_request_id: str,
    now: datetime,
) -> None:
    """A prompt was queued: keep its ids; ``created`` becomes ``pending``."""
    session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.checkout_request_id.is_(None))
        .values(
            merchant_request_id=merchant_request_id,
            checkout_request_id=checkout_request_id,
            updated_at=now,
        )
        .execution_options(synchronize_session=False)
    )
    _leave_created(session, payment_id, PaymentState.PENDING, now, detail="prompt queued")


def record_refusal(
    session: Session,
    payment_id: int,
    *,
    code: str | None,
    message: str,
    customer_message: str | None,
    now: datetime,
) -> None:
    """Surely no prompt went out: ``created`` becomes ``failed``, and another try is safe."""
    _leave_created(
        session,
        payment_id,
        PaymentState.FAILED,
        now,
        detail=message,
        result_code=code[:_LONGEST_CODE] if code else None,
        result_desc=message[:_LONGEST],
        customer_message=customer_message[:_LONGEST] if customer_message else None,
        next_check_at=None,
        sent_at=None,
        finished_at=now,
    )


def record_silence(session: Session, payment_id: int, message: str, now: datetime) -> None:
    """The phone may be ringing: ``created`` becomes ``unknown``, and nothing is sent again."""
    _leave_created(
        session,
        payment_id,
        PaymentState.UNKNOWN,
        now,
        detail=message,
        result_desc=message[:_LONGEST],
        customer_message=NO_ANSWER_MESSAGE,
    )


def report_misconfiguration(
    session: Session, payment_id: int, code: str, message: str, now: datetime
) -> None:
    """Tell a person that no customer can pay until our settings are mended; once for each code."""
    payment = session.scalar(
        select(Payment).where(Payment.id == payment_id).with_for_update(key_share=True)
    )
    file_task(
        session,
        Matter(
            kind=TaskKind.MPESA_CONFIGURATION,
            title="M-Pesa refuses our settings",
            description=f"{code}: {message} Customers cannot pay until it is mended."
            " See `python manage.py config check`.",
            dedupe_key=f"mpesa_configuration:{code}:{now:%Y-%m-%d}",
        ),
        now,
        payment=payment,
    )


def _leave_created(
    session: Session,
    payment_id: int,
    to: PaymentState,
    now: datetime,
    *,
    detail: str,
    **values: object,
) -> None:
    moved = session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.status == PaymentState.CREATED)
        .values(**{"status": to, "sent_at": now, "updated_at": now, **values})
        .returning(Payment.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is not None:
        record_payment_event(
            session,
            payment_id,
            from_status=PaymentState.CREATED,
            to_status=to,
            source="push",
            now=now,
            detail=detail,
        )
        session.flush()
