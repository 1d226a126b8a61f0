"""Products as a spreadsheet, for whoever has the machine."""

from pathlib import Path
from typing import BinaryIO

import click
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.cli import Failure
from app.cli.context import opened_work
from app.jobs.export_products import export_products
from app.jobs.import_products import ImportRules, import_products
from app.jobs.work import Work
from app.models import User
from app.policies import Actor, Role
from app.schemas.catalogue_csv import read_row
from app.services.catalogue_csv import CsvFile, ExportRequest, ImportReport, RowFault
from app.utils.identity import email_key, username_key

MOST_SHOWN = 20
COMMAND_LINE = Actor(0, Role.ADMIN, "the command line")


@click.group
def command() -> None:
    """Bring products in from a CSV file, and out into one."""


@command.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
@click.option("--seller", "name", required=True, help="Whose products: a username or an address.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop there.")
@click.option("--yes", is_flag=True, help="Do it without showing and asking first.")
@click.option("--create-categories", is_flag=True, help="Make the categories that are missing.")
def import_file(path: str, name: str, *, dry_run: bool, yes: bool, create_categories: bool) -> None:
    """Create and change a seller's products by FILE: shown first, and done when you agree.

    Exit code 1 if any row was refused, or nothing was done.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run does nothing, and --yes does it: choose one.")
    maker = COMMAND_LINE if create_categories else None
    with opened_work() as work, Path(path).open("rb") as file:
        with work.database.reading() as session:
            seller = _find_seller(session, name)
        if not yes:
            report = _run(work, seller, file, ImportRules(dry_run=True, category_maker=maker))
            _show(report)
            if dry_run:
                raise SystemExit(1 if report.failed else 0)
            if not report.created + report.updated:
                raise SystemExit(1 if report.failed else 0)
            click.confirm(f"Do it for {seller.username}?", abort=True)
        report = _run(work, seller, file, ImportRules(category_maker=maker))
    _show(report)
    raise SystemExit(1 if report.failed else 0)


@command.command("export")
@click.option("--seller", "name", help="Only this seller's products: a username or an address.")
@click.option(
    "-o",
    "--output",
    type=click.File("wb", atomic=True),
    default="-",
    help="The file to write, whole or not at all; standard output by default.",
)
def export_file(name: str | None, output: BinaryIO) -> None:
    """Write all products, or one seller's, as CSV that import takes back."""
    with opened_work() as work:
        seller_id = None
        if name is not None:
            with work.database.reading() as session:
                seller_id = _find_seller(session, name).user_id
        output.writelines(export_products(work, ExportRequest(seller_id)))


def _find_seller(session: Session, name: str) -> Actor:
    user = session.scalar(
        select(User).where(
            or_(User.username_key == username_key(name), User.email_key == email_key(name))
        )
    )
    if user is None:
        raise Failure(f"There is no user {name}.")
    seller = Actor(user.id, Role(user.role), user.username)
    if not seller.may_sell:
        raise Failure(f"{user.username} is no seller. See: python manage.py users promote")
    return seller


def _run(work: Work, seller: Actor, file: BinaryIO, rules: ImportRules) -> ImportReport:
    label = "Trying" if rules.dry_run else "Importing"
    with click.progressbar(length=CsvFile(file).count(), label=label) as bar:
        return import_products(work, seller, file, read_row, rules, bar.update)


def _show(report: ImportReport) -> None:
    verb = "would be " if report.dry_run else ""
    click.echo(
        f"{report.rows} rows of a {report.format} file: {verb}created {report.created},"
        f" updated {report.updated}, unchanged {report.unchanged}, skipped {report.skipped},"
        f" refused {report.failed}."
    )
    if report.ignored_columns:
        click.echo(f"Columns that were not read: {', '.join(report.ignored_columns)}")
    for warning in report.warnings[:MOST_SHOWN]:
        place = f"row {warning.row}: " if warning.row else ""
        click.echo(f"  {place}{warning.reason}")
    for fault in report.errors[:MOST_SHOWN]:
        click.echo(_fault_line(fault), err=True)
    hidden = max(0, len(report.errors) - MOST_SHOWN)
    if hidden:
        click.echo(f"  … and {hidden} more.", err=True)


def _fault_line(fault: RowFault) -> str:
    column = f", {fault.column}" if fault.column else ""
    value = f" {fault.value!r}" if fault.value else ""
    return f"  row {fault.row}{column}{value}: {fault.message}"
