"""What comes in from Safaricom: kept byte for byte first, read later, believed last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, bindparam, insert, select, update
from sqlalchemy.orm import Session

from app.asking import Prepared, Reader
from app.models import InboxMessage, InboxSource, Payment, Task, TaskKind
from app.models.base import table_of
from app.services.records import Matter, file_task, solve_tasks
from app.utils.callback_secret import CallbackSecret

MAX_BODY_BYTES = 65_536


MAX_ATTEMPTS = 10

_STUCK = "stuck_message:"


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A posted body with what came along with it."""

    source: InboxSource
    body: bytes
    headers: dict[str, str]
    remote_addr: str | None
    payment_id: int | None = None
    request_id: int | None = None


_PAYMENT = table_of(Payment).c
_SECRET = Prepared(
    select(_PAYMENT.callback_secret_hash).where(
        _PAYMENT.id == bindparam("payment_id", type_=BigInteger)
    )
)
_KEPT = (
    *("source", "payment_id", "request_id", "body", "truncated", "headers", "remote_addr"),
    *("received_at", "attempts"),
)
_KEEP = Prepared(
    insert(table_of(InboxMessage))
    .values({column: bindparam(column) for column in _KEPT})
    .returning(table_of(InboxMessage).c.id)
)


def is_secret_of_payment(reader: Reader, payment_id: int, secret: CallbackSecret) -> bool:
    """Whether this is the secret that the payment's callback address carries."""
    rows = _SECRET.rows(reader, payment_id=payment_id)
    return any(kept is not None and secret.matches(kept) for (kept,) in rows)


def store_message(reader: Reader, message: ReceivedMessage, now: datetime) -> int:
    """Store a message before anybody reads it, and answer its id. A body beyond the limit is cut
    and marked. Stored twice it is read twice, which is as good as once.
    """
    ((message_id,),) = _KEEP.rows(reader, **_values(message, now))
    return int(message_id)


def _values(message: ReceivedMessage, now: datetime) -> dict[str, Any]:
    return {
        "source": message.source,
        "payment_id": message.payment_id,
        "request_id": message.request_id,
        "body": message.body[:MAX_BODY_BYTES],
        "truncated": len(message.body) > MAX_BODY_BYTES,
        "headers": message.headers,
        "remote_addr": message.remote_addr,
        "received_at": now,
        "attempts": 0,
    }


def claim_message(session: Session, message_id: int) -> InboxMessage | None:
    """The message, locked, if nobody has processed it; None where another hand is at it."""
    return session.scalar(
        select(InboxMessage)
        .where(InboxMessage.id == message_id, InboxMessage.processed_at.is_(None))
        .with_for_update(skip_locked=True)
    )


def find_waiting_messages(
    session: Session, now: datetime, limit: int = 100, *, for_seconds: float = 2
) -> list[int]:
    """Messages that the request which brought them did not finish in time, oldest first."""
    return list(
        session.scalars(
            select(InboxMessage.id)
            .where(
                InboxMessage.processed_at.is_(None),
                InboxMessage.received_at <= now - timedelta(seconds=for_seconds),
                InboxMessage.attempts < MAX_ATTEMPTS,
            )
            .order_by(InboxMessage.id)
            .limit(limit)
        )
    )


def finish_message(message: InboxMessage, outcome: str, now: datetime) -> None:
    message.processed_at = now
    message.outcome = outcome
    message.attempts += 1


def note_unstuck(session: Session, message: InboxMessage, now: datetime) -> None:
    """A message that was stuck is processed at last: nobody need look at it."""
    if message.error is not None:
        mine = Task.dedupe_key == _stuck_key(message.id)
        solve_tasks(session, mine, "processed", f"It was read: {message.outcome}.", now)


def stuck_message_id(task: Task) -> int | None:
    """The message that a task is about, if it is about one."""
    number = (task.dedupe_key or "").removeprefix(_STUCK)
    return int(number) if task.kind == TaskKind.STUCK_MESSAGE and number.isdecimal() else None


def report_stuck_message(session: Session, message_id: int, error: str, now: datetime) -> None:
    """Note why a message could not be processed, and tell a person, once."""
    session.execute(
        update(InboxMessage)
        .where(InboxMessage.id == message_id)
        .values(error=error, attempts=InboxMessage.attempts + 1)
        .execution_options(synchronize_session=False)
    )
    file_task(
        session,
        Matter(
            kind=TaskKind.STUCK_MESSAGE,
            title=f"A message from M-Pesa cannot be processed (inbox {message_id})",
            description=f"It is kept whole and tried again. The error was: {error}",
            dedupe_key=_stuck_key(message_id),
        ),
        now,
    )


def _stuck_key(message_id: int) -> str:
    return f"{_STUCK}{message_id}"
