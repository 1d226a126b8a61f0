"""Room on the disks that this machine writes to."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import make_url

from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, skipped, warning
from app.config import Config

FULL = fault(
    "disk_full",
    "The disk of {folder} has {free} left: free some now, for a full disk takes no orders and no"
    " news of payments.",
    cause="The disk that holds the SQLite file, the queue or the pictures is full, or all but.",
    cure="Remove what is not needed (old logs and backups first), or give the machine more disk.",
)
LOW = warning(
    "disk_low",
    "The disk of {folder} has {free} left: make room before it is full.",
    cause="Less than a gigabyte is left where the shop writes.",
    cure="Remove what is not needed, or give the machine more disk.",
)

_FULL_BYTES = 100 * 1024 * 1024
_LOW_BYTES = 1024 * 1024 * 1024


def look_at_disk(exam: Exam) -> Iterator[Finding]:
    folders = _written_folders(exam.config)
    if not folders:
        yield skipped("nothing of the shop lies on this machine's disks.")
        return
    found = []
    by_disk = {_device(folder): folder for folder in folders}
    for folder in by_disk.values():
        free = shutil.disk_usage(folder).free
        if free < _LOW_BYTES:
            kind = FULL if free < _FULL_BYTES else LOW
            found.append(kind.found(folder=folder, free=_megabytes(free)))
    yield from found or [fine("There is room on the disk.")]


def _written_folders(config: Config) -> list[Path]:
    """Folders that are there, or the nearest one above."""
    named = []
    database = make_url(config.database_url)
    if config.uses_sqlite and database.database:
        named.append(Path(database.database).parent)
    if config.queue_url.startswith("sqlite:///"):
        named.append(Path(config.queue_url.removeprefix("sqlite:///")).parent)
    if "://" not in config.media_url:
        named.append(Path(config.media_url))
    elif config.media_url.startswith("file://"):
        named.append(Path(unquote(urlsplit(config.media_url).path)))
    return [_nearest(folder.absolute()) for folder in named]


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MB"


CHECKS = (
    Check(
        "disk",
        Group.DATABASE,
        "room where the shop writes on this machine",
        look_at_disk,
        kinds=(FULL, LOW),
    ),
)
