"""The shape of the database."""

import click

from app import schema_migrations
from app.cli import Failure
from app.cli.context import load_config
from app.db import Database


@click.group
def command() -> None:
    """Bring the database to the shape that the code expects."""


@command.command
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Apply the migrations that are missing, up to REVISION (the newest by default)."""
    database = _database()
    before = schema_migrations.current_revision(database)
    schema_migrations.upgrade(database, revision)
    after = schema_migrations.current_revision(database)
    if before == after:
        click.echo(f"The database is at {after} already.")
    else:
        click.echo(f"The database went from {before or 'nothing'} to {after}.")


@command.command
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, *, yes: bool) -> None:
    """Undo migrations down to REVISION ("-1" for one, "base" for all). Data may be lost."""
    if not yes:
        click.confirm(f"Undo migrations down to {revision}? Data may be lost.", abort=True)
    database = _database()
    schema_migrations.downgrade(database, revision)
    click.echo(f"The database is at {schema_migrations.current_revision(database) or 'nothing'}.")


@command.command
@click.option("-m", "--message", required=True, help="What the change is, in a few words.")
def revision(message: str) -> None:
    """Write a new migration from what the models say beyond the database."""
    schema_migrations.make_revision(_database(), message)
    click.echo("Wrote a new file in migrations/versions: read it before you apply it.")


@command.command
def check() -> None:
    """Compare the database with the migrations and the models; exit 1 where they differ."""
    database = _database()
    current, head = schema_migrations.current_revision(database), schema_migrations.head_revision()
    if current != head:
        raise Failure(
            f"The database is at {current or 'nothing'}, the code expects {head}."
            " Run: python manage.py db upgrade"
        )
    differences = schema_migrations.differences(database)
    for difference in differences:
        click.echo(difference)
    if differences:
        raise Failure(f"The models differ from the migrations in {len(differences)} places.")
    click.echo(f"The database is at {head}, as the code expects.")


def _database() -> Database:
    from app.jobs.build import build_database

    return build_database(load_config())
