"""On SQLite the new shop is made in a file beside the old one's, which it then replaces."""

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy.engine import make_url

from app.backups.archive import flush_folder
from app.backups.lines import rows_in
from app.backups.manifest import TablePart
from app.backups.stage import StageRefused
from app.db import Database
from app.utils.failpoints import failpoint

_ROWS_AT_ONCE = 5_000
_BESIDE = ("", "-wal", "-shm", "-journal")


class SqliteStage:
    def __init__(self, url: str) -> None:
        self._file = Path(make_url(url).database or "")
        self._staged = self._file.with_name(f"{self._file.name}.restoring")
        self.database = Database(f"sqlite:///{self._staged}")

    @contextmanager
    def opened(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._clear()
        self._staged.touch(mode=0o600)
        try:
            yield
        finally:
            self.database.dispose()
            self._clear()

    def load(self, table: TablePart, rows: IO[bytes]) -> None:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        insert = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 - the manifest's names were compared with the database's
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA foreign_keys=OFF")  # a row may refer to a later one
            connection.execute("BEGIN")
            values = rows_in(rows, table.columns)
            while batch := list(itertools.islice(values, _ROWS_AT_ONCE)):
                connection.executemany(insert, batch)
            connection.execute("COMMIT")

    def finish_loading(self, tables: tuple[TablePart, ...], *, room: int) -> None:
        with closing(self._connect()) as connection:
            broken = connection.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise StageRefused(f"Rows refer to others that are not there: {broken[:5]}")
            for table in tables:
                if table.last_id is not None:
                    values = {"name": table.name, "last": table.last_id + room}
                    connection.execute("DELETE FROM sqlite_sequence WHERE name = :name", values)
                    connection.execute("INSERT INTO sqlite_sequence VALUES (:name, :last)", values)
            connection.execute("PRAGMA optimize=0x10002")

    def take_over(self, now: datetime, *, keep_old: bool, force: bool) -> str | None:
        self.database.dispose()
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")  # all of it in the one file
        _flush(self._staged)
        kept = self._file.with_name(
            f"{self._file.name}.before-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        )
        if self._file.exists():
            self._take_its_rights()
            self._set_aside(kept, force=force)
        failpoint("half_of_the_places_changed")
        self._staged.replace(self._file)
        flush_folder(self._file.parent)
        if not keep_old:
            kept.unlink(missing_ok=True)
        return str(kept) if keep_old else None

    def _take_its_rights(self) -> None:
        """Whoever may use the old file may use the new one, whoever restores it."""
        old = self._file.stat()
        self._staged.chmod(old.st_mode & 0o777)
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(self._staged, old.st_uid, old.st_gid)

    def _set_aside(self, kept: Path, *, force: bool) -> None:
        """Give the old file a second name, or a copy where somebody has it open all the same.

        Its write-ahead log must not be found beside the new one.
        """
        with closing(sqlite3.connect(self._file, timeout=0)) as old:
            try:
                old.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.OperationalError as error:
                if not force:
                    raise StageRefused(f"Another process has {self._file} open.") from error
                with closing(sqlite3.connect(kept)) as copy:
                    old.backup(copy)
                kept.chmod(0o600)
                _flush(kept)
            else:
                os.link(self._file, kept)
        for ending in _BESIDE[1:]:
            Path(f"{self._file}{ending}").unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._staged, isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")  # it is flushed as a whole, at the end
        return connection

    def _clear(self) -> None:
        for ending in _BESIDE:
            Path(f"{self._staged}{ending}").unlink(missing_ok=True)


def _flush(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
