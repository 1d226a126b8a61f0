"""The command line: `python -m drill.hosts`."""

import json
import secrets
import sys
from pathlib import Path

import click

from drill.cli import hold
from drill.hosts.apart import NotPermitted, go_apart
from drill.hosts.options import HostsOptions
from drill.hosts.rehearsal import HostsRehearsal
from drill.processes import end_as_by_hand

_NOT_PERMITTED = 2


@click.command(context_settings={"show_default": True})
@click.option("--rounds", type=click.IntRange(1), default=3, help="How often each trouble comes.")
@click.option("--seed", type=int, help="Makes the plan the same again; else any.")
@click.option("--short", is_flag=True, help="One round with few customers, within a minute.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file as well.",
)
@click.option("--keep", is_flag=True, help="Keep database and logs also where all is well.")
def main(rounds: int, seed: int | None, json_file: Path | None, *, short: bool, keep: bool) -> None:
    """Run the shop on several machines, of which some are cut off, killed and brought back.

    Two web hosts, two worker hosts, PostgreSQL, Redis, nginx and a simulated Safaricom, each in a
    network namespace; only root on Linux may make them. In the end the books are compared as by
    `python -m drill`. Exit code 1 where something does not hold, 2 where it cannot be tried.
    """
    try:
        go_apart()
        end_as_by_hand()
        seed = secrets.randbelow(1_000_000) if seed is None else seed
        options = HostsOptions.short(seed) if short else HostsOptions(seed=seed, rounds=rounds)
        report = hold(options, HostsRehearsal, keep=keep)
    except NotPermitted as error:
        click.echo(f"This cannot be tried here. {error}", err=True)
        sys.exit(_NOT_PERMITTED)
    click.echo(report.to_text())
    if json_file is not None:
        json_file.write_text(json.dumps([report.to_json()], indent=2) + "\n")
    if not report.holds:
        sys.exit(1)
