"""Whether a backup is as it was made."""

import hashlib
from collections.abc import Callable
from pathlib import PurePosixPath

from app.backups.archive import CHUNK_BYTES, Archive, BadBackup
from app.backups.manifest import Manifest, Uploads
from app.schema_migrations import is_known

OnProgress = Callable[[str], object]


def verify_backup(archive: Archive, on_progress: OnProgress = lambda _sentence: None) -> Manifest:
    """Read every part of it, to the last byte. Raises BadBackup for what differs."""
    manifest = archive.manifest
    wanted = {table.entry for table in manifest.tables} | {one.entry for one in manifest.uploads}
    if strange := sorted(archive.entries() ^ wanted):
        raise BadBackup(f"It should hold other parts than it does ({strange[0]}).")
    if manifest.uploads and manifest.uploads_kept is not Uploads.INSIDE:
        raise BadBackup("It holds pictures that it says are kept elsewhere.")
    if not is_known(manifest.revision):
        raise BadBackup(
            f"It is of a newer version of the software (its database was at {manifest.revision})."
        )
    for table in manifest.tables:
        rows = _check(archive, table.entry, table.sha256)
        if rows != table.row_count:
            raise BadBackup(f"{table.name} should have {table.row_count} rows, and has {rows}.")
        on_progress(f"{table.name}: {rows} rows")
    for upload in manifest.uploads:
        _require_inside(upload.path)
        _check(archive, upload.entry, upload.sha256)
    on_progress(f"{len(manifest.uploads)} pictures")
    return manifest


def _check(archive: Archive, entry: str, sha256: str) -> int:
    """Raises BadBackup for a part that is not what it was; answers its lines."""
    digest, lines = hashlib.sha256(), 0
    with archive.part(entry) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            lines += chunk.count(b"\n")
    if digest.hexdigest() != sha256:
        raise BadBackup(f"{entry} is not what it was when the backup was made.")
    return lines


def _require_inside(path: str) -> None:
    """No picture is written anywhere but into the store."""
    named = PurePosixPath(path)
    if named.is_absolute() or ".." in named.parts or not named.parts or "\0" in path:
        raise BadBackup(f"It has a picture that would lie outside of the store: {path!r}.")
