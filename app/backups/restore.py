"""Making a shop of a backup: beside the old one, compared, made safe, and then in its place."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.backups.archive import Archive, BadBackup, opened_archive
from app.backups.manifest import Manifest, TablePart
from app.backups.snapshot import ledger_of
from app.backups.stage import ROOM, Stage, StageRefused
from app.backups.stage_postgresql import PostgresStage
from app.backups.stage_sqlite import SqliteStage
from app.backups.tables import Table, read_tables
from app.backups.verify import verify_backup
from app.backups.workers import open_keeper, who_is_at_work
from app.db import Database
from app.ports import FileStore
from app.schema_migrations import upgrade
from app.services.audit import Finding, audit
from app.services.restores import Precautions, record_restore, take_precautions
from app.utils.failpoints import failpoint

OnProgress = Callable[[str], object]
_UNABLE = (psycopg.OperationalError, sqlite3.OperationalError)
_UNFIT = (psycopg.Error, sqlite3.Error, ValueError, KeyError)


class RestoreRefused(Exception):
    """The shop is as it was; the message says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a backup is to be restored.

    ``replace``: where there is a shop already. ``force``: though somebody uses it. ``moved``: the
    shop had been stopped before the backup, and nothing happened since.
    """

    replace: bool = False
    force: bool = False
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it. ``kept_as`` is where the old shop is, ``precautions`` None for a move."""

    manifest: Manifest
    kept_as: str | None
    precautions: Precautions | None
    pictures_written: int
    findings: Sequence[Finding] = field(default=())


def is_empty(url: str) -> bool:
    """Whether there is no shop in this database: no tables, or no row in any."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").exists():
        return True
    database = open_keeper(url)
    try:
        with database.engine.connect() as connection:
            return not any(
                connection.execute(text(f'SELECT 1 FROM "{table.name}" LIMIT 1')).first()  # noqa: S608 - the database's own names
                for table in read_tables(connection)
            )
    finally:
        database.dispose()


def restore_backup(
    path: Path,
    url: str,
    files: FileStore,
    wish: Wish,
    now: datetime,
    *,
    key: bytes | None,
    on_progress: OnProgress = lambda _sentence: None,
) -> Restored:
    """Put the shop of a backup in the place of what is in the database at ``url``.

    Raises BadBackup and RestoreRefused; then nothing has changed. Wherever the process dies, either
    the old shop is there or the new one, and whole.
    """
    with opened_archive(path, key) as archive:
        on_progress("Reading the backup to its end.")
        manifest = verify_backup(archive)
        keep_old = not is_empty(url)
        _refuse_unfit(manifest, url, wish, has_shop=keep_old)
        stage = _stage_for(url)
        try:
            with stage.opened():
                _fill(stage, archive, on_progress, room=0 if wish.moved else ROOM)
                failpoint("restore_filled")
                precautions = _make_safe(stage.database, path.name, manifest, wish, now)
                on_progress("Auditing the books and the shelves.")
                with stage.database.reading() as session:
                    findings = audit(session, manifest.made_at)
                written = _write_pictures(archive, files)
                failpoint("restore_staged")
                kept_as = stage.take_over(now, keep_old=keep_old, force=wish.force)
        except StageRefused as error:
            raise RestoreRefused(str(error)) from error
    return Restored(manifest, kept_as, precautions, written, findings)


def _refuse_unfit(manifest: Manifest, url: str, wish: Wish, *, has_shop: bool) -> None:
    if wish.moved and manifest.at_work:
        raise RestoreRefused(
            "While this backup was made, somebody was at work in the shop"
            f" ({'; '.join(manifest.at_work)}), and may have gone on after it. That is no move:"
            " restore it without --moved, or stop the shop and make another."
        )
    if has_shop and not wish.replace:
        raise RestoreRefused("There is a shop in this database already; --replace puts it aside.")
    if not wish.force and (at_work := who_is_at_work(url)):
        raise RestoreRefused(
            f"The shop is in use: {'; '.join(at_work)}. Stop its web servers and workers first."
            " Processes remember what they read, and would go on with it."
        )


def _stage_for(url: str) -> Stage:
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        return PostgresStage(url)
    if address.database in {None, "", ":memory:"}:
        raise RestoreRefused("A database in memory cannot be restored into.")
    return SqliteStage(url)


def _fill(stage: Stage, archive: Archive, on_progress: OnProgress, *, room: int) -> None:
    """The tables as they were at the backup's revision, with their rows; then up to ours."""
    manifest = archive.manifest
    upgrade(stage.database, manifest.revision)
    with stage.database.engine.connect() as connection:
        known = {table.name: table for table in read_tables(connection)}
    for part in manifest.tables:
        _require_fitting(part, known.get(part.name))
        on_progress(f"{part.name}: {part.row_count} rows")
        with archive.part(part.entry) as rows:
            try:
                stage.load(part, rows)
            except _UNABLE as error:
                raise StageRefused(f"The database takes no more: {_in_one_line(error)}") from error
            except _UNFIT as error:
                raise BadBackup(
                    f"The rows of {part.name} do not fit: {_in_one_line(error)}"
                ) from error
    stage.finish_loading(manifest.tables, room=room)
    _compare(stage.database, manifest)
    upgrade(stage.database)


def _require_fitting(part: TablePart, table: Table | None) -> None:
    if table is None or set(part.columns) != set(table.columns):
        raise BadBackup(f"Its table {part.name} is not as its version of the software made it.")


def _compare(database: Database, manifest: Manifest) -> None:
    """Every row is there, and the money is the same to the cent."""
    with database.engine.connect() as connection:
        for part in manifest.tables:
            count = connection.execute(text(f'SELECT count(*) FROM "{part.name}"')).scalar_one()  # noqa: S608 - compared with the database's own names
            if count != part.row_count:
                raise BadBackup(f"{part.name} has {count} rows, and had {part.row_count}.")
        if (cents := ledger_of(connection)) != manifest.ledger_cents:
            raise BadBackup(f"The books hold {cents}, and held {manifest.ledger_cents}.")


def _make_safe(
    database: Database, name: str, manifest: Manifest, wish: Wish, now: datetime
) -> Precautions | None:
    with database.transaction() as session:
        restore = record_restore(session, name, manifest.made_at, now, moved=wish.moved)
        return None if wish.moved else take_precautions(session, restore, now)


def _write_pictures(archive: Archive, files: FileStore) -> int:
    """Before any row names them. None changes under its name, so those that are there stay."""
    written = 0
    for upload in archive.manifest.uploads:
        with archive.part(upload.entry) as stream:
            content = stream.read()
        if files.read(upload.path) != content:
            files.write(upload.path, content)
            written += 1
    return written


def _in_one_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
