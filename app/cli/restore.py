"""Making the shop anew out of a backup."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli import Failure
from app.cli.backup import own_key, show_progress, told_in_a_sentence
from app.cli.context import load_config, start_logging
from app.utils.clock import EAT, utc_now

if TYPE_CHECKING:
    from app.backups import Restored
    from app.config import Config

_WORD = "replace"
_MOST_SHOWN = 20


@click.command
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--replace", is_flag=True, help="There is a shop already: put it aside.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Although processes use the shop.")
@click.option(
    "--moved",
    is_flag=True,
    help="The shop was stopped before the backup and never ran since: send refunds as before,"
    " leave everybody signed in.",
)
@click.option("--other-secret-key", is_flag=True, help="It was made with another SECRET_KEY.")
def command(
    path: Path,
    *,
    replace: bool,
    yes: bool,
    force: bool,
    moved: bool,
    other_secret_key: bool,
) -> None:
    """Put the shop of the backup FILE into the database of this configuration.

    The shop must be stopped. What happened after the backup is not in it: no refund is sent before
    M-Pesa's statement was read. Exit code 1 also where the audit finds something.
    """
    from app.backups import Wish, is_empty, restore_backup
    from app.integrations.files import open_files

    config = load_config()
    start_logging(config)
    key = None if other_secret_key else own_key()
    with told_in_a_sentence():
        if replace and not yes and not is_empty(config.database_url):
            _ask(path)
        restored = restore_backup(
            path,
            config.database_url,
            open_files(config.media_url),
            Wish(replace=replace, force=force, moved=moved),
            utc_now(),
            key=key,
            on_progress=show_progress(),
        )
    _tell(restored, config)
    if restored.findings:
        raise Failure(f"The audit found {len(restored.findings)} things; the shop is restored.")


def _ask(path: Path) -> None:
    click.echo(f"{path} will take the place of the shop in this database, which is put aside.")
    if click.prompt(f'Type "{_WORD}" to go on') != _WORD:
        raise Failure("Nothing was changed.")


def _tell(restored: "Restored", config: "Config") -> None:
    manifest = restored.manifest
    made = manifest.made_at
    click.echo(
        f"The shop is as it was at {_moment(made)}: {manifest.rows_of('orders')} orders,"
        f" {manifest.rows_of('payments')} payments, each row compared, and the books to the cent."
    )
    if restored.kept_as:
        click.echo(f"The shop before is kept as {restored.kept_as}: remove it when all is well.")
    if manifest.uploads_kept == "elsewhere":
        click.echo("Pictures are not in this backup: the shop it is of kept them in a bucket.")
    elif manifest.uploads:
        click.echo(f"{len(manifest.uploads)} pictures, {restored.pictures_written} written anew.")
    if not restored.findings:
        click.echo("The audit finds nothing.")
    for finding in restored.findings[:_MOST_SHOWN]:
        click.echo(f"{finding.invariant}  {finding.subject}: {finding.detail}")
    if restored.precautions is None:
        click.echo("It was moved, so nothing is held. Start it.")
        return
    taken = restored.precautions
    click.echo("\nNobody knows any more what happened after that. So there are now:")
    for what, count in (
        ("refunds that were still to be sent: unknown, each with a task", taken.doubtful_refunds),
        ("refunds that will be asked about", taken.asked_refunds),
        ("payments that will be asked about", taken.asked_payments),
        ("unpaid orders that wait a day longer", taken.waiting_orders),
        ("people who have to sign in again", taken.ended_sessions),
    ):
        click.echo(f"  {count:>6}  {what}")
    click.echo("What to do:")
    for number, step in enumerate(_steps(config, made), 1):
        click.echo(f"{number}. {step}")


def _steps(config: "Config", made: datetime) -> list[str]:
    manage = "python manage.py"
    pull = (
        f"{manage} payments pull  (Safaricom's list reaches back 48 hours)"
        if config.can_pull
        else "Safaricom's list is not fetched here (MPESA_PULL): the statement has to tell all"
    )
    day = f"{made.astimezone(EAT):%Y-%m-%d}"
    statement = (
        f"Export M-Pesa's statement from {day} on in its portal, a quarter of an hour from now or"
        f" later, of each number, and: {manage} payments import-statement FILE"
    )
    return [
        "Start the web server and the worker: open payments and refunds are asked about by itself.",
        pull,
        statement,
        f"{manage} payments report --from {day} --to (today)  and the tasks in /office/exceptions",
        f"{manage} payments release-refunds  (until then no refund is sent)",
        f"{manage} audit",
        "Look at what people changed since: docs/backups.md has a list.",
    ]


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(EAT):%Y-%m-%d %H:%M} (Nairobi)"
