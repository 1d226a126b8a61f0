"""The doctor: examines a shop before it goes live, and names each mistake with what to do."""

import sys
from collections.abc import Callable, Sequence

import click

from app.cli import BadInput
from app.cli.context import load_config, start_logging
from app.cli.doctor import manual
from app.cli.doctor.checks import CHECKS, kinds_of
from app.cli.doctor.checks.settings import REFUSED
from app.cli.doctor.exam import Check, Exam, Line, Report, Wishes
from app.cli.doctor.findings import Level
from app.cli.doctor.quoting import Quoter, secrets_of
from app.cli.doctor.running import Watcher, block, choose, examine
from app.cli.doctor.show import Screen, as_json, count_levels, summary
from app.config import Config, ConfigError
from app.db import Database
from app.utils.phone import mask_msisdn, normalise_msisdn

_POOL_SIZE = 5
_SETTINGS = CHECKS[0]


class _Command(click.Command):
    """Help that lists the checks."""

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Checks"):
            formatter.write_dl(list(manual.listing()))


@click.command(cls=_Command)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([check.name for check in CHECKS]),
    metavar="CHECK",
    help="Run this check and what it builds on. May be given again.",
)
@click.option(
    "--phone",
    help="Ask this phone (0712345678) to pay KES 1. It is charged if the owner approves; asks"
    " before it does so.",
)
@click.option("--balance", is_flag=True, help="Ask for the balances of the shortcode as well.")
@click.option("--yes", is_flag=True, help="Ring the phone without asking.")
@click.option("--json", "wants_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--explain",
    metavar="CODE",
    help="Print cause and cure of a finding, and examine nothing.",
)
@click.option("--write-manual", is_flag=True, hidden=True, help="Write docs/doctor.md anew.")
def command(
    only: tuple[str, ...],
    phone: str | None,
    *,
    balance: bool,
    yes: bool,
    wants_json: bool,
    explain: str | None,
    write_manual: bool,
) -> None:
    """Examine the shop before it goes live: each mistake is named, with what to do.

    Moves no money and rings no phone unless --phone is given. Exit code 0: no fault (there may be
    warnings), 1: faults, 2: settings that cannot be read, or wrong usage.
    """
    if explain is not None:
        _explain(explain)
        return
    if write_manual:
        manual.FILE.write_text(manual.with_findings(manual.FILE.read_text("utf-8")), "utf-8")
        return
    checks = choose(CHECKS, only)
    try:
        config = load_config()
    except ConfigError as error:
        _show_refused_settings(error, checks, wants_json=wants_json)
        raise SystemExit(2) from error
    wishes = Wishes(phone=_agreed_phone(config, phone, yes=yes), balance=balance)
    reports = _examine(config, checks, wishes, wants_json=wants_json)
    raise SystemExit(1 if count_levels(reports)[Level.FAULT] else 0)


def _explain(code: str) -> None:
    """Raises BadInput for a code that no check has."""
    kind = kinds_of().get(code)
    if kind is None:
        raise BadInput(f"No check says {code}. The codes: {', '.join(manual.known_codes())}.")
    click.echo(manual.explain(kind))


def _agreed_phone(config: Config, phone: str | None, *, yes: bool) -> str | None:
    """The phone that may ring, once somebody has agreed. Raises BadInput for what is none."""
    if phone is None:
        return None
    try:
        msisdn = normalise_msisdn(phone)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if yes:
        return msisdn
    real = "real money" if config.is_production else f"M-Pesa {config.mpesa_env}"
    question = (
        f"Ring {mask_msisdn(msisdn)} and ask for KES 1 ({real})? It is charged if its owner"
        " approves."
    )
    agreed = click.confirm(question, err=True)
    return msisdn if agreed else None


def _examine(
    config: Config, checks: Sequence[Check], wishes: Wishes, *, wants_json: bool
) -> list[Report]:
    start_logging(config, "CRITICAL")  # what goes wrong is a finding, and said once
    screen = Screen([check.name for check in checks], quiet=wants_json)
    exam = open_exam(config, wishes, screen.say)
    try:
        reports = examine(exam, checks, Watcher(screen.ended, screen.waiting))
    finally:
        screen.close()
        exam.examiner.close()
        exam.work.database.dispose()
    _print_end(reports, wants_json=wants_json)
    return reports


def open_exam(config: Config, wishes: Wishes, say: Callable[[str], None]) -> Exam:
    """An examination of the shop with these settings; nothing is connected or made yet."""
    from app.integrations.mpesa import Examiner
    from app.integrations.outside import Outside
    from app.jobs.build import build_mpesa_settings, build_ports
    from app.jobs.work import Work

    database = Database(config.database_url, pool_size=_POOL_SIZE)
    ports = build_ports(config, database)
    return Exam(
        work=Work(database, ports, config),
        outside=Outside(),
        examiner=Examiner(build_mpesa_settings(config), ports.clock),
        quoter=Quoter(secrets_of(config)),
        wishes=wishes,
        say=say,
    )


def _show_refused_settings(
    error: ConfigError, checks: Sequence[Check], *, wants_json: bool
) -> None:
    """Without settings there is nothing to examine but them."""
    lines = tuple(Line(REFUSED.code, Level.FAULT, fault) for fault in error.faults)
    reports = [Report(_SETTINGS.name, _SETTINGS.group, lines, 0.0)]
    screen = Screen([_SETTINGS.name], quiet=wants_json)
    screen.ended(reports[0])  # of the others there is nothing to be read
    reports += [block(check, _SETTINGS.name) for check in checks if check is not _SETTINGS]
    _print_end(reports, wants_json=wants_json)


def _print_end(reports: Sequence[Report], *, wants_json: bool) -> None:
    click.echo(as_json(reports) if wants_json else f"\n{summary(reports)}")
    sys.stdout.flush()
