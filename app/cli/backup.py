"""Backups: made while the shop runs, checked, and thrown away when there are enough."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli import Failure
from app.cli.context import load_config, start_logging
from app.utils.clock import EAT, utc_now
from app.utils.money import cents_to_wire


@click.group(invoke_without_command=True)
@click.option(
    "--to",
    "folder",
    default="backups",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder; the backup's name says when it was made.",
)
@click.option("--keep", type=click.IntRange(min=1), help="Afterwards, keep so many of the newest.")
@click.pass_context
def command(context: click.Context, folder: Path, keep: int | None) -> None:
    """Write the shop into one file, with its pictures, while it runs.

    The file holds customers' data and nothing of .env: keep both, apart, and on another machine.
    """
    if context.invoked_subcommand is not None:
        return
    with told_in_a_sentence():
        _make(folder, keep)


@command.command
@click.argument(
    "path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--other-secret-key", is_flag=True, help="It was made with another SECRET_KEY.")
def verify(path: Path, *, other_secret_key: bool) -> None:
    """Read FILE to its end and compare every part with what it was when it was made."""
    from app.backups import opened_archive, verify_backup

    key = None if other_secret_key else own_key()
    with told_in_a_sentence(), opened_archive(path, key) as archive:
        manifest = verify_backup(archive, show_progress())
    click.echo(f"{path} is whole.")
    made = manifest.made_at.astimezone(EAT)
    click.echo(
        f"Made at {made:%Y-%m-%d %H:%M} (Nairobi) of {manifest.database_kind} at revision"
        f" {manifest.revision}: {manifest.row_count} rows, {manifest.rows_of('orders')} orders,"
        f" {manifest.rows_of('payments')} payments, {len(manifest.uploads)} pictures."
    )
    for account, cents in sorted(manifest.ledger_cents.items()):
        click.echo(f"  {account:<12} KES {cents_to_wire(cents)}")


def _make(folder: Path, keep: int | None) -> None:
    from app.backups import (
        make_backup,
        name_of_backup,
        open_keeper,
        prune_backups,
        remove_abandoned,
        signing_key,
        who_is_at_work,
    )
    from app.integrations.files import folder_of

    config = load_config()
    start_logging(config)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_abandoned(folder)
    now = utc_now()
    target = folder / name_of_backup(now)
    at_work = who_is_at_work(config.database_url)
    database = open_keeper(config.database_url)
    media = folder_of(config.media_url)
    try:
        manifest = make_backup(
            database,
            media,
            target,
            signing_key(config.secret_key),
            now,
            at_work=at_work,
            on_progress=show_progress(),
        )
    finally:
        database.dispose()
    size = target.stat().st_size / 1_000_000
    click.echo(
        f"{target}: {manifest.row_count} rows, {len(manifest.uploads)} pictures, {size:.1f} MB."
    )
    if media is None:
        click.echo("The pictures are kept elsewhere (MEDIA_URL), and are not in it.")
    for old in prune_backups(folder, keep) if keep else ():
        click.echo(f"Removed {old}.")


def own_key() -> bytes:
    from app.backups import signing_key

    return signing_key(load_config().secret_key)


def show_progress() -> Callable[[str], object]:
    """A line on standard error for each step, where a person sits before it."""
    if os.isatty(2):
        return lambda sentence: click.echo(sentence, err=True)
    return lambda _sentence: None


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """What may go wrong with a file, a disk or a database, in one line and exit code 1."""
    import psycopg

    from app.backups import BadBackup, NothingToKeep, RestoreRefused
    from app.ports import FileStoreError

    try:
        yield
    except (BadBackup, NothingToKeep, RestoreRefused, TimeoutError) as error:
        raise Failure(str(error)) from error
    except FileExistsError as error:
        raise Failure(f"{error} Wait a second, and try again.") from error
    except (sqlite3.OperationalError, psycopg.OperationalError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Failure(f"It failed, and left nothing behind: {reason}.") from error
    except (OSError, FileStoreError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"It failed, and left nothing behind: {reason}.") from error
