"""The books and the shelves, checked row by row."""

import click

from app.cli import Failure
from app.cli.context import opened_database
from app.services.audit import INVARIANTS, audit
from app.utils.clock import utc_now


@click.command
def command() -> None:
    """Check every invariant of money and stock; exit 1 and list each row that breaks one."""
    with opened_database() as database, database.reading(may_pause=True) as session:
        findings = audit(session, utc_now())
    for finding in findings:
        click.echo(f"{finding.invariant}  {finding.subject}: {finding.detail}")
    broken = sorted({finding.invariant for finding in findings})
    for invariant in broken:
        click.echo(f"{invariant} says: {INVARIANTS[invariant]}", err=True)
    if findings:
        raise Failure(f"{len(findings)} rows break {len(broken)} invariants.")
    click.echo(f"All {len(INVARIANTS)} invariants of money and stock hold.")
