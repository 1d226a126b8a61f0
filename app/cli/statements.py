"""M-Pesa's own books: fetched, brought in, and compared with ours."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import click
import marshmallow as ma

from app.cli import BadInput, Failure
from app.cli.context import load_config, opened_database, opened_work
from app.jobs.import_statement import StatementReport, import_statement
from app.jobs.pull_statements import Window, pull_statements, register_for_list
from app.jobs.rules import mpesa_numbers
from app.policies import Actor, Role
from app.ports import GatewayError
from app.schemas.reconciliation import ReconciliationSchema, span_of_days
from app.services.reconciliation import Group, Report, Row, reconcile, yesterday_span
from app.services.statements import Span
from app.utils.clock import EAT, utc_now
from app.utils.money import cents_to_wire
from app.utils.phone import normalise_msisdn

MOST_SHOWN = 20
COMMAND_LINE = Actor(0, Role.ADMIN, "the command line")
_DAY = click.DateTime(["%Y-%m-%d"])
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"])


@click.command
@click.option("--since", type=_MOMENT, help="From this moment in Nairobi; M-Pesa keeps 48 hours.")
def pull(since: datetime | None) -> None:
    """Fetch Safaricom's list of payments now, from where it was last read.

    Exit code 1 if a part of it could not be read: the next run begins there.
    """
    begin = since.replace(tzinfo=EAT) if since is not None else None
    with opened_work() as work:
        if not work.config.can_pull:
            raise Failure("This shop does not fetch lists: set MPESA_PULL=true once it may.")
        windows = pull_statements(work, begin, on_page=_show_page)
    for window in windows:
        click.echo(_window_line(window))
    if not all(window.is_complete for window in windows):
        raise SystemExit(1)


@click.command("register-pull")
@click.option("--number", help="The phone on record for the shortcode; by default that in .env.")
def register_pull(number: str | None) -> None:
    """Ask Safaricom to keep a list of our payments. Once is enough, and twice is fine."""
    try:
        msisdn = normalise_msisdn(number) if number else None
    except ValueError as error:
        raise BadInput(str(error)) from None
    with opened_work() as work:
        msisdn = msisdn or work.config.mpesa_pull_number
        if msisdn is None:
            raise BadInput("Set MPESA_PULL_NUMBER, or give the phone with --number.")
        try:
            register_for_list(work, msisdn)
        except GatewayError as error:
            raise Failure(f"Safaricom did not register it: {error.message}") from error
        shortcode = work.config.mpesa_c2b_shortcode
    click.echo(f"Safaricom keeps a list of the payments to {shortcode}.")


@click.command("import-statement")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
def import_file(path: str) -> None:
    """Bring in FILE, the organisation statement of M-Pesa's portal as CSV.

    Exit code 1 if a line could not be read or differs from our books.
    """
    with opened_work() as work, Path(path).open("rb") as file:
        report = import_statement(
            work, COMMAND_LINE, file, Path(path).name, on_progress=_Progress().advance
        )
    _show_import(report)
    tally = report.tally
    raise SystemExit(1 if tally.unreadable or tally.different or tally.unbooked else 0)


@click.command
@click.option("--day", type=_DAY, help="A day of Nairobi; yesterday by default.")
@click.option("--from", "first", type=_DAY, help="The first of several days.")
@click.option("--to", "last", type=_DAY, help="The last of them.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON, as the API answers.")
def report(
    day: datetime | None, first: datetime | None, last: datetime | None, *, as_json: bool
) -> None:
    """Compare M-Pesa's books with ours, for a day or several.

    Exit code 1 unless all of it was covered and everything matches.
    """
    now = utc_now()
    span = _span_of(day, first, last) or yesterday_span(now)
    with opened_database() as database, database.reading(may_pause=True) as session:
        made = reconcile(session, span, mpesa_numbers(load_config()), now)
    if as_json:
        click.echo(json.dumps(ReconciliationSchema().dump(made), indent=2))
    else:
        _show_report(made)
    raise SystemExit(0 if made.is_clean else 1)


class _Progress:
    """A line on standard error now and then: how far a long file has come."""

    EVERY = 20_000

    def __init__(self) -> None:
        self._done = 0

    def advance(self, lines: int) -> None:
        before = self._done
        self._done += lines
        if before // self.EVERY != self._done // self.EVERY:
            click.echo(f"{self._done} lines ...", err=True)


def _span_of(day: datetime | None, first: datetime | None, last: datetime | None) -> Span | None:
    days = [moment.date() if moment is not None else None for moment in (day, first, last)]
    try:
        return span_of_days(*days)
    except ma.ValidationError as error:
        raise BadInput(f"--{error.field_name}: {error.messages[0]}") from None


def _show_page(window: Window) -> None:
    click.echo(f"{_words(window.span)}: {window.tally.lines} payments read ...", err=True)


def _window_line(window: Window) -> str:
    tally = window.tally
    result = (
        f"{_words(window.span)}: {tally.lines} lines, {tally.fresh} of them new;"
        f" recovered {_sum(tally.recovered, tally.recovered_cents)},"
        f" without an order {_sum(tally.unmatched, tally.unmatched_cents)},"
        f" with another amount {tally.different};"
        f" reversals {tally.reversals}, refunds that they prove {tally.refunds}."
    )
    return result if window.is_complete else f"{result} Not complete: {window.problem}."


def _show_import(report: StatementReport) -> None:
    statement, tally = report.statement, report.tally
    span = Span(statement.covers_from, statement.covers_to)
    click.echo(f"Import {statement.id} covers {_words(span)}.")
    click.echo(
        f"{tally.lines} lines, {tally.fresh} of them new: {tally.payments} payments,"
        f" {tally.reversals} reversals, {tally.passed_over} passed over,"
        f" {tally.unreadable} unreadable."
    )
    click.echo(
        f"Recovered {_sum(tally.recovered, tally.recovered_cents)}, without an order"
        f" {_sum(tally.unmatched, tally.unmatched_cents)}, with another amount {tally.different},"
        f" refunds {tally.refunds}, from before the first order {tally.earlier}."
    )
    for fault in tally.faults[:MOST_SHOWN]:
        click.echo(f"  line {fault.number}: {fault.message}", err=True)
    hidden = tally.unreadable - min(tally.unreadable, MOST_SHOWN)
    if hidden:
        click.echo(f"  ... and {hidden} more.", err=True)


def _show_report(report: Report) -> None:
    click.echo(_words(report.span))
    for cover in report.covers:
        name = f" {cover.file_name}" if cover.file_name else ""
        click.echo(f"  covered by {cover.source} {cover.import_id}{name}: {_words(cover.span)}")
    for gap in report.gaps:
        click.echo(f"  NOT COVERED: {_words(gap, ':%S')}. Nobody knows what M-Pesa's books say.")
    if report.unreadable:
        click.echo(f"  {report.unreadable} lines of these could not be read: each may be money.")
    for name, side in (("payments", report.payments), ("refunds", report.refunds)):
        for what in ("matched", "missing_here", "missing_there", "different"):
            _show_group(f"{name} {what.replace('_', ' ')}", getattr(side, what), report)
        for what in ("awaited", "not_covered"):
            if getattr(side, what).count:
                _show_group(f"{name} {what.replace('_', ' ')}", getattr(side, what), report)
    _show_group("unmatched money", report.unmatched, report)
    click.echo("Clean." if report.is_clean else "Not clean.")


def _show_group(name: str, group: Group, report: Report) -> None:
    click.echo(f"{name:<26} {_sum(group.count, group.cents)}")
    for row in group.rows[:MOST_SHOWN]:
        click.echo(f"    {_row_line(row, report)}")
    if len(group.rows) < group.count and group.rows:
        click.echo(f"    ... {group.count} in all")


def _row_line(row: Row, report: Report) -> str:
    parts = [row.receipt or "no receipt", f"KES {cents_to_wire(row.cents)}"]
    if row.ours_cents is not None and row.theirs_cents is not None:
        parts.append(f"(M-Pesa: KES {cents_to_wire(row.theirs_cents)})")
    parts.append(f"{_age(row.age(report.made_at))} old")
    for what, value in (
        ("order", row.order_number),
        ("payment", row.payment_id),
        ("refund", row.refund_id),
        ("task", row.task_id),
    ):
        if value is not None:
            parts.append(f"{what} {value}")
    parts.append(f"owner {row.owner}" if row.owner else "nobody's yet")
    return ", ".join(parts)


def _age(age: timedelta) -> str:
    hours = int(age.total_seconds() // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"  # noqa: PLR2004 - two days


def _sum(count: int, cents: int) -> str:
    return f"{count} (KES {cents_to_wire(cents)})" if count else "0"


def _words(span: Span, seconds: str = "") -> str:
    shape = f"%Y-%m-%d %H:%M{seconds}"
    since, until = span.since.astimezone(EAT), span.until.astimezone(EAT)
    return f"{since:{shape}} to {until:{shape}}"
