"""Which readings of M-Pesa's books cover a period."""

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from app.models import StatementImport, StatementSource
from app.services.reconciliation.values import Cover
from app.services.statements import Numbers, Span, join_spans


def read_covers(session: Session, span: Span) -> list[Cover]:
    """Every complete reading that covers a part of the period, oldest first."""
    found = session.scalars(
        select(StatementImport)
        .where(
            StatementImport.finished_at.is_not(None),
            StatementImport.covers_from < span.until,
            StatementImport.covers_to > span.since,
        )
        .order_by(StatementImport.covers_from, StatementImport.id)
    )
    return [
        Cover(
            import_id=row.id,
            source=StatementSource(row.source),
            span=Span(row.covers_from, row.covers_to),
            made_at=row.created_at,
            file_name=row.file_name,
            shortcode=row.shortcode,
            unreadable=row.unreadable_count,
        )
        for row in found
    ]


def covers_of_payments(covers: list[Cover], numbers: Numbers) -> list[Cover]:
    """Those that show what customers paid."""
    apart = numbers.payout_apart
    return [cover for cover in covers if apart is None or cover.shortcode != apart]


def covers_of_refunds(covers: list[Cover], numbers: Numbers) -> list[Cover]:
    """Those that show what was given back of it; M-Pesa's list shows nothing that went out."""
    return [
        cover
        for cover in covers_of_payments(covers, numbers)
        if cover.source is StatementSource.FILE
    ]


def covers_of_payouts(covers: list[Cover], numbers: Numbers) -> list[Cover]:
    """Those that show what the number that pays out sent."""
    apart = numbers.payout_apart
    files = [cover for cover in covers if cover.source is StatementSource.FILE]
    return [cover for cover in files if apart is None or cover.shortcode == apart]


def lies_in(moment: ColumnElement, spans: list[Span]) -> ColumnElement[bool]:  # type: ignore[type-arg]
    """A condition: the moment lies in one of these spans."""
    return or_(
        false(),
        *[and_(moment >= span.since, moment < span.until) for span in join_spans(spans)],
    )
