"""Statements and the comparison of M-Pesa's books with ours, on the wire."""

import re
from datetime import date, timedelta
from typing import Any

import marshmallow as ma

from app.jobs.import_statement import StatementReport
from app.models import StatementSource
from app.schemas.base import Money, Schema, Timestamp
from app.services.reconciliation import Report, Row, day_span
from app.services.statements import Span

LARGEST_STATEMENT_BYTES = 10 * 1024 * 1024
MOST_DAYS = 92
_A_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = {"format": "date-time", "type": "string"}
_DAY = {"format": "date", "type": "string"}


class Day(ma.fields.Field[date]):
    """A day of the calendar, like 2026-11-22."""

    default_error_messages = {"invalid": "Must be a day, like 2026-11-30."}  # noqa: RUF012 - marshmallow's own way

    def _deserialize(self, value: Any, attr: Any, data: Any, **_kwargs: Any) -> date:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, str) or not _A_DAY.fullmatch(value):
            raise self.make_error("invalid", input=value)
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise self.make_error("invalid", input=value) from None


class ReconciliationQuery(Schema):
    """Which period is asked for: yesterday, unless something is said."""

    day = Day(
        load_default=None,
        metadata={"description": "A day of Nairobi.", "example": "2026-11-21", **_DAY},
    )
    first = Day(
        data_key="from",
        load_default=None,
        metadata={"description": "The first of several days.", "example": "2026-11-01", **_DAY},
    )
    last = Day(
        data_key="to",
        load_default=None,
        metadata={"description": "The last of them.", "example": "2026-11-21", **_DAY},
    )

    @ma.post_load
    def _span(self, data: dict[str, Any], **_kwargs: Any) -> Span | None:
        return span_of_days(data["day"], data["first"], data["last"])


def span_of_days(day: date | None, first: date | None, last: date | None) -> Span | None:
    """The period that is meant; None where nothing is said. Raises ValidationError."""
    if day is not None and (first is not None or last is not None):
        raise ma.ValidationError("Name one day, or the first and the last.", "day")
    if (first is None) != (last is None):
        raise ma.ValidationError(
            "Name the first day and the last.", "from" if first is None else "to"
        )
    if first is None or last is None:
        return day_span(day) if day is not None else None
    if last < first:
        raise ma.ValidationError("This day is before the first one.", "to")
    if last - first >= timedelta(days=MOST_DAYS):
        raise ma.ValidationError(f"Ask for at most {MOST_DAYS} days.", "to")
    return day_span(first, last)


class RowSchema(Schema):
    """Money that stands differently in the two books."""

    receipt = ma.fields.String(required=True, allow_none=True, metadata={"example": "UKM4Q7XYZ1"})
    amount = Money(
        attribute="ours_cents",
        required=True,
        allow_none=True,
        metadata={"description": "On our books; null: not there.", "example": 1500},
    )
    mpesa_amount = Money(
        attribute="theirs_cents",
        required=True,
        allow_none=True,
        metadata={"description": "On M-Pesa's books; null: not there.", "example": None},
    )
    moved_at = Timestamp(required=True, metadata=_MOMENT)
    age_seconds = ma.fields.Integer(required=True, metadata={"example": 93600})
    said = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The account that the payer typed, or who paid; of a refund the receipt"
            " that it gives back.",
            "example": "K7M2Q9X",
        },
    )
    payment_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": 12})
    refund_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": None})
    order_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": 7})
    order_number = ma.fields.String(required=True, allow_none=True, metadata={"example": "K7M2Q9X"})
    task_id = ma.fields.Integer(required=True, allow_none=True, metadata={"example": 5})
    owner = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Who was given its task.", "example": "amina"},
    )


class SumSchema(Schema):
    count = ma.fields.Integer(required=True, metadata={"example": 12})
    amount = Money(attribute="cents", required=True, metadata={"example": 18000})


class GroupSchema(SumSchema):
    rows = ma.fields.List(
        ma.fields.Nested(RowSchema),
        required=True,
        metadata={"description": "The first 200, oldest first."},
    )


class SideSchema(Schema):
    """How payments, or refunds, stand in the two books."""

    matched = ma.fields.Nested(SumSchema, required=True)
    missing_here = ma.fields.Nested(
        GroupSchema, required=True, metadata={"description": "On M-Pesa's books alone."}
    )
    missing_there = ma.fields.Nested(
        GroupSchema,
        required=True,
        metadata={"description": "On ours alone, though M-Pesa's books cover its time."},
    )
    different = ma.fields.Nested(
        GroupSchema, required=True, metadata={"description": "In both, with two amounts."}
    )
    awaited = ma.fields.Nested(
        SumSchema,
        required=True,
        metadata={"description": "So new that it may still appear in M-Pesa's list."},
    )
    not_covered = ma.fields.Nested(
        SumSchema,
        required=True,
        metadata={"description": "Of a time of which no book of M-Pesa's was read."},
    )


class CoverSchema(Schema):
    """A reading of M-Pesa's books that covers a part of the period."""

    import_id = ma.fields.Integer(required=True, metadata={"example": 31})
    source = ma.fields.Enum(StatementSource, by_value=True, required=True)
    since = Timestamp(attribute="span.since", required=True, metadata=_MOMENT)
    until = Timestamp(attribute="span.until", required=True, metadata=_MOMENT)
    file_name = ma.fields.String(
        required=True, allow_none=True, metadata={"example": "statement.csv"}
    )
    unreadable_lines = ma.fields.Integer(
        attribute="unreadable", required=True, metadata={"example": 0}
    )


class SpanSchema(Schema):
    since = Timestamp(required=True, metadata=_MOMENT)
    until = Timestamp(required=True, metadata=_MOMENT)


class ReconciliationSchema(Schema):
    """M-Pesa's books beside ours for one period.

    `clean` is true only if all of it was covered and nothing differs: what nobody looked at is not
    fine.
    """

    since = Timestamp(attribute="span.since", required=True, metadata=_MOMENT)
    until = Timestamp(attribute="span.until", required=True, metadata=_MOMENT)
    made_at = Timestamp(required=True, metadata=_MOMENT)
    clean = ma.fields.Boolean(attribute="is_clean", required=True, metadata={"example": True})
    differs = ma.fields.Boolean(required=True, metadata={"example": False})
    covered = ma.fields.Boolean(attribute="is_covered", required=True, metadata={"example": True})
    covers = ma.fields.List(ma.fields.Nested(CoverSchema), required=True)
    gaps = ma.fields.List(
        ma.fields.Nested(SpanSchema),
        required=True,
        metadata={"description": "What no book of M-Pesa's covers, as far as it has passed."},
    )
    unreadable_lines = ma.fields.Integer(
        attribute="unreadable",
        required=True,
        metadata={"description": "Each may be money.", "example": 0},
    )
    payments = ma.fields.Nested(SideSchema, required=True)
    refunds = ma.fields.Nested(SideSchema, required=True)
    unmatched = ma.fields.Nested(
        GroupSchema,
        required=True,
        metadata={"description": "Money on our books that nobody knows the order of."},
    )

    @ma.pre_dump
    def _with_ages(self, report: Report, **_kwargs: Any) -> dict[str, Any]:
        names = ("span", "made_at", "is_clean", "differs", "is_covered", "covers", "gaps")
        shown = {name: getattr(report, name) for name in (*names, "unreadable")}
        for name in ("payments", "refunds"):
            side = getattr(report, name)
            shown[name] = {
                group: _aged(getattr(side, group), report)
                for group in SideSchema._declared_fields  # noqa: SLF001 - our own schema's fields
            }
        return {**shown, "unmatched": _aged(report.unmatched, report)}


def _aged(group: Any, report: Report) -> dict[str, Any]:
    rows = [
        {**_fields_of(row), "age_seconds": int(row.age(report.made_at).total_seconds())}
        for row in group.rows
    ]
    return {"count": group.count, "cents": group.cents, "rows": rows}


def _fields_of(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__dataclass_fields__}


class LineFaultSchema(Schema):
    """Why a line of the file could not be read."""

    line = ma.fields.Integer(attribute="number", required=True, metadata={"example": 12})
    message = ma.fields.String(
        required=True, metadata={"example": "Its completion time cannot be read."}
    )


class StatementReportSchema(Schema):
    """What a statement brought. The same file once more brings nothing."""

    id = ma.fields.Integer(attribute="statement.id", required=True, metadata={"example": 31})
    file_name = ma.fields.String(
        attribute="statement.file_name",
        required=True,
        allow_none=True,
        metadata={"example": "statement.csv"},
    )
    covers_from = Timestamp(attribute="statement.covers_from", required=True, metadata=_MOMENT)
    covers_to = Timestamp(attribute="statement.covers_to", required=True, metadata=_MOMENT)
    lines = ma.fields.Integer(
        attribute="tally.lines",
        required=True,
        metadata={"description": "Movements of money.", "example": 240},
    )
    fresh_lines = ma.fields.Integer(
        attribute="tally.fresh",
        required=True,
        metadata={"description": "Those that no reading had shown before.", "example": 240},
    )
    payments = ma.fields.Integer(
        required=True, metadata={"description": "Those that somebody paid us.", "example": 118}
    )
    recovered = ma.fields.Nested(
        SumSchema,
        required=True,
        metadata={"description": "Money that the shop had not heard of, and that found its order."},
    )
    unmatched = ma.fields.Nested(
        SumSchema,
        required=True,
        metadata={"description": "The same, but nobody knows its order yet: each has a task."},
    )
    different = ma.fields.Integer(
        attribute="tally.different",
        required=True,
        metadata={"description": "Known with another amount: each has a task.", "example": 0},
    )
    refunds = ma.fields.Integer(
        attribute="tally.refunds",
        required=True,
        metadata={"description": "Refunds that it shows went through.", "example": 0},
    )
    before_the_shop = ma.fields.Integer(
        attribute="tally.earlier",
        required=True,
        metadata={"description": "Payments from before the first order.", "example": 0},
    )
    passed_over = ma.fields.Integer(
        attribute="tally.passed_over",
        required=True,
        metadata={"description": "Totals, headings, and what was not completed.", "example": 2},
    )
    unreadable = ma.fields.Integer(
        attribute="tally.unreadable", required=True, metadata={"example": 0}
    )
    errors = ma.fields.List(
        ma.fields.Nested(LineFaultSchema),
        required=True,
        metadata={"description": "The first 1,000 lines that could not be read."},
    )

    @ma.pre_dump
    def _shown(self, report: StatementReport, **_kwargs: Any) -> dict[str, Any]:
        tally = report.tally
        return {
            "statement": report.statement,
            "tally": tally,
            "payments": tally.payments,
            "recovered": {"count": tally.recovered, "cents": tally.recovered_cents},
            "unmatched": {"count": tally.unmatched, "cents": tally.unmatched_cents},
            "errors": tally.faults,
        }
