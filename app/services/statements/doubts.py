"""What M-Pesa's list does not show, and a person is to know of."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import MoneySource, MpesaReceipt, TaskKind
from app.services.records import Matter, file_task
from app.services.statements.imports import Span
from app.utils.clock import EAT

_NOT_REGISTERED = (
    "The shortcode may not be registered for its list (Pull Transactions). Run: python manage.py"
    " payments register-pull. Until then import the statement of the portal."
)
_FORGOTTEN = "A simulator that was started anew has forgotten what was paid before."
_TOLD_BY_M_PESA = (MoneySource.CALLBACK, MoneySource.C2B, MoneySource.STATUS)


def money_is_known(session: Session, span: Span) -> bool:
    """Whether M-Pesa itself told us of money that moved in this time: no list of it is empty."""
    known = session.scalar(
        select(func.count())
        .select_from(MpesaReceipt)
        .where(
            MpesaReceipt.source.in_(_TOLD_BY_M_PESA),
            MpesaReceipt.transacted_at >= span.since,
            MpesaReceipt.transacted_at < span.until,
        )
    )
    return bool(known)


def report_empty_list(session: Session, now: datetime, *, simulated: bool = False) -> None:
    """Safaricom answers a shortcode that is not registered like one without payments; a simulator
    that was started anew has forgotten what was paid before.
    """
    likely = f"{_FORGOTTEN} {_NOT_REGISTERED}" if simulated else _NOT_REGISTERED
    file_task(
        session,
        Matter(
            kind=TaskKind.MPESA_CONFIGURATION,
            title="M-Pesa's list of payments is empty, though payments came",
            description="Safaricom shows no payment of a time in which it reported some to us."
            f" {likely}",
            dedupe_key=f"empty_pull:{now.astimezone(EAT):%Y-%m-%d}",
        ),
        now,
    )


def report_unreadable_rows(session: Session, span: Span, count: int, now: datetime) -> None:
    file_task(
        session,
        Matter(
            kind=TaskKind.STATEMENT_DIFFERENCE,
            title=f"{count} rows of M-Pesa's list cannot be read",
            description=f"They are of {_in_words(span)}. The other rows were taken. Import the"
            " statement of M-Pesa's portal for these days.",
            dedupe_key=f"unreadable_rows:{span.since.astimezone(EAT):%Y-%m-%d}",
        ),
        now,
    )


def report_gap(session: Session, span: Span, reason: str, now: datetime) -> None:
    """M-Pesa's list reaches back so far only: what it did not show comes by the statement now."""
    file_task(
        session,
        Matter(
            kind=TaskKind.STATEMENT_DIFFERENCE,
            title="M-Pesa's list was not read for a while: import the statement",
            description=f"Nobody has checked the payments of {_in_words(span)}: {reason}. Export"
            " the statement of these days from M-Pesa's portal and import it.",
            dedupe_key=f"not_covered:{span.since.astimezone(EAT):%Y-%m-%dT%H:%M}",
        ),
        now,
    )


def _in_words(span: Span) -> str:
    since, until = span.since.astimezone(EAT), span.until.astimezone(EAT)
    return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} (Nairobi)"
