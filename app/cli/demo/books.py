"""M-Pesa's list of the demo shop's past, as it would have been read: it shows every payment."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import LineKind, MoneySource, MpesaReceipt, Order, Payment, StatementSource
from app.services.receive_money import receive_money
from app.services.statements import (
    BookLine,
    NewImport,
    Span,
    Tally,
    begin_import,
    end_import,
    facts_of,
    keep_lines,
)


def read_books(session: Session, shortcode: str, opened: datetime, now: datetime) -> None:
    """Without this the payments that only the demo knows would be missing on M-Pesa's books."""
    new = NewImport(StatementSource.PULL, Span(opened, now), shortcode=shortcode)
    reading = begin_import(session, new, now)
    found = session.execute(
        select(MpesaReceipt, Order.number)
        .join(Payment, Payment.id == MpesaReceipt.payment_id)
        .join(Order, Order.id == Payment.order_id)
    )
    lines = [
        BookLine(
            receipt=row.receipt,
            kind=LineKind.PAYMENT,
            amount_cents=row.amount_cents,
            transacted_at=row.created_at,
            details="c2b-pay-bill-debit",
            bill_reference=number,
        )
        for row, number in found
    ]
    tally = Tally(lines=len(lines), fresh=keep_lines(session, reading.id, lines, now))
    for line in lines:
        receive_money(session, facts_of(line, MoneySource.PULL), now)
    end_import(session, reading.id, tally, now, is_complete=True)
