"""The command line: `python -m bench`."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from bench.load import client_name
from bench.options import DATABASES, Options
from bench.quiet import measure_client
from bench.run import Bench
from bench.shop import Shops
from bench.table import Line, marks_of, table, with_table
from bench.works import UNNAMED, WORKS
from drill.processes import ROOT, end_as_by_hand

_PAGE = ROOT / "docs" / "performance.md"
_DEFAULTS = Options()


@click.command(context_settings={"show_default": True})
@click.argument("works", nargs=-1, type=click.Choice(list(WORKS)))
@click.option("--database", type=click.Choice([*DATABASES, "both"]), default="both")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=_DEFAULTS.rounds,
    help="How often both sides are loaded in turns.",
)
@click.option(
    "--seconds", type=click.IntRange(1), default=_DEFAULTS.seconds, help="How long each time."
)
@click.option(
    "--connections",
    type=click.IntRange(1),
    default=_DEFAULTS.connections,
    help="Requests at one moment.",
)
@click.option(
    "--many",
    type=click.IntRange(20_000),
    default=_DEFAULTS.many,
    help="Products of the big shop.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the filled databases in this folder, and take those that are there.",
)
@click.option("--write", is_flag=True, help="Put the tables into docs/performance.md.")
def main(
    works: tuple[str, ...], database: str, *, write: bool, **chosen: int | Path | None
) -> None:
    """Measure the shop's WORKS (all but peers, by itself) beside their ceilings, and print tables.

    peers asks the same of django-oscar, which it installs beside the code the first time.

    It starts the real server on databases of its own. Ratios are what counts: both sides are
    loaded in turns, in one run, so that a busy machine slows both.
    """
    end_as_by_hand()
    kinds = DATABASES if database == "both" else (database,)
    options = Options(databases=kinds, **chosen)  # type: ignore[arg-type]
    with Shops(options) as shops:
        bench = Bench(options, shops)
        measured = {name: _measure(bench, name) for name in works or UNNAMED}
        conditions = _conditions(bench)
    click.echo(f"\n{conditions}")
    for lines in measured.values():
        click.echo(f"\n{table(lines)}")
    if write:
        _write(measured, conditions)


def _measure(bench: Bench, work: str) -> list[Line]:
    lines = []
    for line in WORKS[work](bench):
        click.echo("  ".join(line.cells()), err=True)
        lines.append(line)
    return lines


def _write(measured: Mapping[str, Sequence[Line]], conditions: str) -> None:
    """Each work's table into its own place, so that one can be measured again by itself."""
    text = _PAGE.read_text("utf-8")
    for work, lines in measured.items():
        text = with_table(text, marks_of(work), conditions, lines)
    _PAGE.write_text(text, "utf-8")


def _conditions(bench: Bench) -> str:
    """What a reader of the table has to know of the run."""
    options = bench.options
    client = measure_client(options.connections)
    return (
        f"{datetime.now(UTC):%d %b %Y}, {os.cpu_count()} processors, Python"
        f" {platform.python_version()}. {options.connections} connections, medians of"
        f" {options.rounds} rounds of {options.seconds} s. The client is {client_name()}: it gets"
        f" {client.rate:,.0f} answers a second out of a server that does nothing, and took at most"
        f" {bench.client_share:.0%} of one processor while it measured."
    )
