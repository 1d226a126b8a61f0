"""Where a shop is made anew, beside the one that is there, before it takes that one's place."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import IO, Protocol

from app.backups.manifest import TablePart
from app.db import Database

ROOM = 1_000_000
"""So many ids of each table are left out: those that were given after the backup are others'."""


class StageRefused(Exception):
    """The new shop cannot take the old one's place; the message says why."""


class Stage(Protocol):
    """One that is left without ``take_over`` leaves nothing, or what the next one removes."""

    database: Database

    def opened(self) -> AbstractContextManager[None]:
        """An empty place, whatever an earlier restore left in it."""

    def load(self, table: TablePart, rows: IO[bytes]) -> None:
        """Bring in the rows of one table, after those that it refers to."""

    def finish_loading(self, tables: tuple[TablePart, ...], *, room: int) -> None:
        """Check what no table alone can show, and say which ids were given."""

    def take_over(self, now: datetime, *, keep_old: bool, force: bool) -> str | None:
        """Take the old shop's place in one step; answers as what that is kept, if it is.

        Raises StageRefused, and leaves the old shop, where somebody uses it.
        """
