"""M-Pesa's books beside ours, for admins; and where the portal's statement is brought in."""

from datetime import date, datetime, time, timedelta
from io import BytesIO
from typing import Any

import marshmallow as ma
from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, current_work, now
from app.db import reading
from app.error_handlers import invalid_fields
from app.errors import AppError, InvalidInput
from app.jobs.import_statement import MOST_LINES_SENT, StatementReport, import_statement
from app.jobs.rules import mpesa_numbers
from app.models import StatementSource
from app.policies import Role
from app.schemas.base import Schema
from app.schemas.reconciliation import LARGEST_STATEMENT_BYTES, MOST_DAYS, Day, span_of_days
from app.security import current_actor
from app.services.reconciliation import MOST_ROWS, Group, reconcile, yesterday_span
from app.services.statements import Span
from app.utils.clock import EAT
from app.web.formats import money
from app.web.language import gettext, mark, ngettext
from app.web.office.blueprint import office
from app.web.pages import Form, done, page, refused_form, sent_file, show_again, takes_upload
from app.web.visitors import role_page

MOST_FAULTS = 200
COVER_WORDS: dict[str, str] = {
    StatementSource.PULL: mark("M-Pesa's list"),
    StatementSource.FILE: mark("Statement"),
}
GROUPS = (
    ("missing_here", mark("On M-Pesa's books, not on ours")),
    ("missing_there", mark("On our books, not on M-Pesa's")),
    ("different", mark("On both, with two amounts")),
)
"""What does not match, with its heading."""

_A_DAY_SECONDS = 86_400
_AN_HOUR_SECONDS = 3_600


class PeriodForm(Schema):
    """The days that are asked for. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    first_day = Day(load_default=None)
    last_day = Day(load_default=None)

    @ma.post_load
    def _span(self, data: dict[str, Any], **_kwargs: Any) -> Span | None:
        first, last = data["first_day"], data["last_day"]
        try:
            return span_of_days(None, first or last, last or first)
        except ma.ValidationError as error:
            raise ma.ValidationError(error.messages, "last_day") from None


@office.get("/office/reconciliation")
@role_page(Role.ADMIN)
def reconciliation() -> AnyResponse:
    """One day, or several, on M-Pesa's books and on ours."""
    values = {name: text for name, text in request.args.items() if text.strip()}
    try:
        span = _asked_span(values)
    except InvalidInput as refusal:
        return _page(refused_form(refusal, values), yesterday_span(now()), refusal.status)
    return _page(Form(_days_of(span)), span)


@office.post("/office/reconciliation")
@role_page(Role.ADMIN)
@takes_upload(lambda _config: LARGEST_STATEMENT_BYTES)
def take_statement() -> AnyResponse:
    """Bring a statement in, and show what it covers."""
    span = yesterday_span(now())
    try:
        brought = _take()
    except AppError as refusal:
        values = {**_days_of(span), "file": ""}
        return show_again(refusal, lambda form: _refused(form, span), values)
    span = Span(brought.statement.covers_from, brought.statement.covers_to)
    if brought.tally.faults or brought.tally.unbooked or _is_too_long(span):
        span = span if not _is_too_long(span) else yesterday_span(now())
        return _page(Form(_days_of(span)), span, brought=brought)
    return done(_outcome(brought), "office.reconciliation", **_days_of(span))


def _take() -> StatementReport:
    content = sent_file("file", LARGEST_STATEMENT_BYTES)
    name = request.files["file"].filename
    return import_statement(
        current_work(), current_actor(), BytesIO(content), name, most_lines=MOST_LINES_SENT
    )


def _asked_span(values: dict[str, str]) -> Span:
    try:
        span: Span | None = PeriodForm().load(values)
    except ma.ValidationError as error:
        raise invalid_fields(error.messages) from error
    return span or yesterday_span(now())


def _days_of(span: Span) -> dict[str, str]:
    return {
        "first_day": _day_of(span.since).isoformat(),
        "last_day": _day_of(span.until, is_end=True).isoformat(),
    }


def _day_of(moment: datetime, *, is_end: bool = False) -> date:
    """The day in Nairobi; midnight ends the day before."""
    local = moment.astimezone(EAT)
    is_midnight = local.time() == time()
    return local.date() - timedelta(days=1) if is_end and is_midnight else local.date()


def _is_too_long(span: Span) -> bool:
    return (span.until - span.since).days >= MOST_DAYS


def _outcome(brought: StatementReport) -> str:
    tally = brought.tally
    message = gettext("The statement is in: %(lines)s lines, %(fresh)s of them new.") % {
        "lines": tally.lines,
        "fresh": tally.fresh,
    }
    if tally.recovered:
        found = gettext("Found for its order: %(money)s.")
        message += " " + found % {"money": money(tally.recovered_cents)}
    if tally.unmatched:
        found = gettext("Without an order yet: %(money)s.")
        message += " " + found % {"money": money(tally.unmatched_cents)}
    if tally.refunds:
        found = ngettext("It proves %(num)s refund.", "It proves %(num)s refunds.", tally.refunds)
        message += " " + found % {"num": tally.refunds}
    return message


def _refused(form: Form, span: Span) -> str:
    return _page(form, span, refused_upload=True).get_data(as_text=True)


def _page(
    form: Form,
    span: Span,
    status: int = 200,
    *,
    brought: StatementReport | None = None,
    refused_upload: bool = False,
) -> Response:
    with reading(may_pause=True) as session:
        report = reconcile(session, span, mpesa_numbers(current_config()), now())
    return page(
        "office/reconciliation.html",
        status,
        form=form,
        report=report,
        brought=brought,
        refused_upload=refused_upload,
        groups=GROUPS,
        cover_words=COVER_WORDS,
        most_rows=MOST_ROWS,
        most_faults=MOST_FAULTS,
        may_pull=current_config().can_pull,
        sum_of=_sum_of,
        age_of=lambda row: _age_of(row.age(report.made_at).total_seconds()),
    )


def _sum_of(group: Group) -> str:
    """``3, KSh 4,500``: how many, and how much."""
    return f"{group.count}, {money(group.cents)}" if group.count else "0"


def _age_of(seconds: float) -> str:
    days, hours = int(seconds // _A_DAY_SECONDS), int(seconds // _AN_HOUR_SECONDS)
    if days >= 2:  # noqa: PLR2004 - until then hours say more
        return ngettext("%(num)s day", "%(num)s days", days) % {"num": days}
    return ngettext("%(num)s hour", "%(num)s hours", hours) % {"num": hours}
