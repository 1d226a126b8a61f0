"""A file of products, in batches: each is one short transaction, and nothing is read in it.

What was committed stays when the process dies. The same file imported again finds those products by
their id or SKU, leaves them as they are and goes on with the rest: no key is needed for that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

import structlog

from app.errors import Forbidden
from app.jobs.work import Work
from app.policies import Actor
from app.services.catalogue_csv import (
    CsvFile,
    ImportReport,
    Layout,
    ProductRow,
    Result,
    RowFault,
    RowReader,
    Seen,
    Skip,
    find_layout,
    line_reader,
    save_rows,
)

BATCH = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImportRules:
    """A ``dry_run`` does all the work, then undoes it. ``category_maker`` is the administrator in
    whose name categories that are missing are made; None refuses their rows.
    """

    dry_run: bool = False
    category_maker: Actor | None = None


def import_products(
    work: Work,
    actor: Actor,
    file: BinaryIO,
    read_row: RowReader,
    rules: ImportRules,
    on_progress: Callable[[int], object] = lambda _done: None,
) -> ImportReport:
    """Create and change the actor's products by a file; ``on_progress`` hears of rows done.

    Raises Forbidden, and InvalidInput, before anything is saved, for a file of which it cannot be
    said where its rows are, or that lacks a column. Rows that are at fault are in the report.
    """
    if not actor.may_sell or (rules.category_maker and not rules.category_maker.is_admin):
        raise Forbidden("Only administrators make categories, and only sellers have products.")
    table = CsvFile(file)
    layout = find_layout(table.header)
    table.count()
    report = ImportReport(layout.format, rules.dry_run, ignored_columns=layout.ignored)
    seen = Seen()
    nameless = 0
    entries = _entries(table, layout, read_row)
    while batch := list(islice(entries, BATCH)):
        rows = [entry for entry in batch if isinstance(entry, ProductRow)]
        answers = iter(_save(work, actor, rows, seen, rules))
        for entry in batch:
            _count(report, layout, next(answers) if isinstance(entry, ProductRow) else entry)
        nameless += sum(row.id is None and not row.change.sku for row in rows)
        on_progress(len(batch))
    if nameless:
        report.warn(
            f"{nameless} rows have neither an id nor a SKU: imported once more, they would be"
            " created once more."
        )
    _log(actor, report)
    return report


Entry = ProductRow | list[RowFault] | Skip


def _entries(table: CsvFile, layout: Layout, read_row: RowReader) -> Iterator[Entry]:
    read_line = line_reader(layout)
    for record in table.records():
        line = read_line(record)
        if isinstance(line, RowFault):
            yield [line]
        else:
            yield line if isinstance(line, Skip) else read_row(line)


def _save(
    work: Work, actor: Actor, rows: list[ProductRow], seen: Seen, rules: ImportRules
) -> list[Result | RowFault]:
    with work.database.transaction() as session:
        answers = save_rows(
            session, actor, rows, seen, work.now(), category_maker=rules.category_maker
        )
        if rules.dry_run:
            session.rollback()
    return answers


def _count(
    report: ImportReport, layout: Layout, entry: Result | RowFault | list[RowFault] | Skip
) -> None:
    if isinstance(entry, Skip):
        report.skip(entry)
    elif isinstance(entry, Result):
        report.count(entry)
    else:
        faults = entry if isinstance(entry, list) else [entry]
        report.refuse([layout.in_its_words(fault) for fault in faults])


def _log(actor: Actor, report: ImportReport) -> None:
    log.info(
        "products_imported",
        user_id=actor.user_id,
        format=report.format,
        dry_run=report.dry_run,
        rows=report.rows,
        created=report.created,
        updated=report.updated,
        failed=report.failed,
    )
