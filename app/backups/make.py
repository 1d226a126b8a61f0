"""Making a backup, of a shop that may be running."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from app.backups.archive import ArchiveWriter, new_archive
from app.backups.manifest import Manifest, TablePart, Upload, Uploads
from app.backups.snapshot import last_id_of, ledger_of, snapshot_of, write_rows
from app.backups.tables import Table, read_tables
from app.db import Database
from app.schema_migrations import revision_of
from app.utils.failpoints import failpoint

OnProgress = Callable[[str], object]
_PIECE = 1 << 20


class NothingToKeep(Exception):
    """There is no shop in this database."""


def name_of_backup(now: datetime) -> str:
    """``sokoni-20261126T224744Z.zip``: names in the order of time, wherever they are read."""
    return f"sokoni-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.zip"


def make_backup(
    database: Database,
    media: Path | None,
    target: Path,
    key: bytes,
    now: datetime,
    *,
    at_work: tuple[str, ...] = (),
    on_progress: OnProgress = lambda _sentence: None,
) -> Manifest:
    """Write the shop as it is at one moment to ``target``, with its pictures from ``media``.

    None for ``media``: they are kept elsewhere. Raises NothingToKeep, FileExistsError, TimeoutError
    while a migration runs, and OSError where the disk takes no more; then nothing is left behind.
    """
    with new_archive(target) as archive:
        with snapshot_of(database) as snapshot:
            revision = revision_of(snapshot)
            if revision is None:
                raise NothingToKeep("This database holds no shop. Run: python manage.py db upgrade")
            ledger = ledger_of(snapshot)
            tables = _keep_tables(snapshot, archive, on_progress)
        failpoint("backup_half_way")
        manifest = Manifest(
            made_at=now,
            revision=revision,
            database_kind="sqlite" if database.is_sqlite else "postgresql",
            tables=tables,
            ledger_cents=ledger,
            uploads_kept=Uploads.ELSEWHERE if media is None else Uploads.INSIDE,
            uploads=tuple(_keep_uploads(media, archive, on_progress)) if media else (),
            at_work=at_work,
        )
        archive.seal(manifest, key)
    return manifest


def _keep_tables(
    snapshot: Connection, archive: ArchiveWriter, on_progress: OnProgress
) -> tuple[TablePart, ...]:
    return tuple(_keep_table(snapshot, archive, one, on_progress) for one in read_tables(snapshot))


def _keep_table(
    snapshot: Connection, archive: ArchiveWriter, table: Table, on_progress: OnProgress
) -> TablePart:
    named = TablePart(table.name, table.columns, 0, None, "")
    with archive.part(named.entry) as part:
        count = write_rows(snapshot, table, part.write)
    on_progress(f"{table.name}: {count} rows")
    return TablePart(table.name, table.columns, count, last_id_of(snapshot, table), part.sha256)


def _keep_uploads(media: Path, archive: ArchiveWriter, on_progress: OnProgress) -> Iterator[Upload]:
    """After the snapshot, so that every picture that it names is there; one that is erased
    meanwhile was not shown any more.
    """
    count = 0
    for file in sorted(media.rglob("*")):
        if "#" in file.name or file.is_symlink() or not file.is_file():
            continue  # what is being written, and not there yet, has a # in its name
        path = file.relative_to(media).as_posix()
        try:
            stream = file.open("rb")
        except FileNotFoundError:
            continue
        with stream, archive.part(Upload(path, 0, "").entry, pack=False) as part:
            while piece := stream.read(_PIECE):
                part.write(piece)
        count += 1
        yield Upload(path, part.size, part.sha256)
    on_progress(f"{count} pictures")
