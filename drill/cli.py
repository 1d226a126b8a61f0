"""The command line: `python -m drill`."""

import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from drill.options import Faults, Options
from drill.processes import end_as_by_hand
from drill.progress import Progress
from drill.rehearsal import Rehearsal
from drill.report import Report

_DATABASES = ("postgresql", "sqlite")
_DEFAULTS = Options()
_CHANCES = {
    "callback_lost": "a callback never comes",
    "callback_twice": "one that comes, comes twice",
    "callback_late": "it comes three simulated minutes late",
    "answer_lost": "a push is accepted and its answer lost",
    "refused": "a push is refused",
    "query_error": "the queries of a prompt fail now and then",
    "confirmation_lost": "the notice of money that came never comes itself",
    "confirmation_twice": "one that comes, comes twice",
    "confirmation_late": "it comes three simulated minutes late",
    "validation_lost": "the shop is not asked before somebody pays from the menu",
    "token_unavailable": "there is no access token to be had",
    "result_lost": "the result of a refund, or of a question, never comes",
    "result_twice": "one that comes, comes twice",
    "result_late": "it comes three simulated minutes late",
    "ack_lost": "a refund is accepted and the answer lost",
    "request_refused": "a refund is refused",
    "queue_timeout": "notice comes that it waited too long in M-Pesa's queue",
    "client_hangs_up": "a customer does not hear the shop's answer",
}


def _fault_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each fault, named as the simulator names it."""
    for one in reversed(fields(Faults)):
        command = click.option(
            f"--{one.name.replace('_', '-')}",
            type=click.FloatRange(0, 1),
            default=one.default,
            show_default=True,
            help=f"Chance that {_CHANCES[one.name]}.",
        )(command)
    return command


@click.command(context_settings={"show_default": True})
@click.option(
    "--payments",
    type=click.IntRange(1, 50_000),
    default=_DEFAULTS.payments,
    help="How many payments are meant, on each database.",
)
@click.option("--seed", type=int, help="Makes plan and faults the same again; else any.")
@click.option("--database", type=click.Choice([*_DATABASES, "both"]), default="both")
@click.option("--kills/--no-kills", default=True, help="Whether processes are killed.")
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=None,
    help="How often each disturbance comes; else once in 500 payments.",
)
@click.option(
    "--web-workers",
    type=click.IntRange(1),
    default=_DEFAULTS.web_workers,
    help="Processes of the web server; on SQLite there is always one.",
)
@click.option("--workers", type=click.IntRange(1), default=_DEFAULTS.workers)
@click.option(
    "--connections",
    type=click.IntRange(1),
    default=_DEFAULTS.connections,
    help="Requests of customers at one moment.",
)
@click.option(
    "--buyers",
    type=click.IntRange(1),
    default=_DEFAULTS.buyers,
    help="Customers who are buying at one moment.",
)
@click.option(
    "--clock-factor",
    type=click.FloatRange(1, 100),
    default=_DEFAULTS.clock_factor,
    help="Simulated seconds in a real one.",
)
@click.option(
    "--patience-seconds",
    type=click.FloatRange(1),
    default=_DEFAULTS.patience_seconds,
    help="How long to wait, in the end, until nothing is open.",
)
@click.option(
    "--hurry",
    is_flag=True,
    help="End by hand the leases of a minute that dead workers leave behind.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the reports to this file as well.",
)
@click.option("--keep", is_flag=True, help="Keep databases and logs also where all is well.")
@_fault_options
def main(
    database: str, seed: int | None, json_file: Path | None, *, keep: bool, **chosen: Any
) -> None:
    """Drive the real shop against a simulated Safaricom while everything fails, and compare.

    Thousands of purchases by HTTP; callbacks are lost, doubled and late, processes and the
    database are killed. In the end what the simulator knows to have moved is held against the
    shop's books, shilling by shilling. Exit code 1 where a shilling cannot be explained.
    """
    end_as_by_hand()
    faults = Faults(**{one.name: chosen.pop(one.name) for one in fields(Faults)})
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    names = _DATABASES if database == "both" else (database,)
    reports = []
    for name in names:
        options = Options(database=name, seed=seed, faults=faults, **chosen)
        reports.append(hold(options, keep=keep))
        click.echo(reports[-1].to_text() + "\n")
    if json_file is not None:
        json_file.write_text(json.dumps([one.to_json() for one in reports], indent=2) + "\n")
    if not all(report.holds for report in reports):
        sys.exit(1)


def hold(options: Options, kind: type[Rehearsal] = Rehearsal, *, keep: bool = False) -> Report:
    """One drill in a folder of its own, which is kept where something was found."""
    folder = Path(tempfile.mkdtemp(prefix="sokoni-drill-"))
    progress = Progress(options.database)
    is_kept = True
    try:
        with kind(options, folder, progress) as rehearsal:
            report = rehearsal.run()
        is_kept = keep or not report.holds
        return report
    finally:
        progress.clear()
        if is_kept:
            click.echo(f"Database and logs are kept in {folder}", err=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
