"""How many backups are kept in a folder."""

import re
from pathlib import Path

from app.backups.archive import UNFINISHED, is_abandoned

_BACKUP = re.compile(r"sokoni-\d{8}T\d{6}Z\.zip")
_UNFINISHED = re.compile(rf"\.{_BACKUP.pattern}{re.escape(UNFINISHED)}")


def prune_backups(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` of the backups in a folder; answers the removed.

    Nothing else in it is touched, whatever it is called.
    """
    found = sorted(path for path in folder.iterdir() if _BACKUP.fullmatch(path.name))
    old = found[:-keep]
    for path in old:
        path.unlink()
    return old


def remove_abandoned(folder: Path) -> list[Path]:
    """Remove what backups left that were killed, and not those that are being made."""
    left = [
        path
        for path in sorted(folder.iterdir())
        if _UNFINISHED.fullmatch(path.name) and is_abandoned(path)
    ]
    for path in left:
        path.unlink(missing_ok=True)
    return left
