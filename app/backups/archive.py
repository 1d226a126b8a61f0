"""The file itself: a ZIP of parts, a manifest that names each of them, and its signature.

It appears under its name whole or not at all.
"""

import fcntl
import hashlib
import hmac
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from app.backups.manifest import FORMAT, Manifest

MANIFEST, SIGNATURE = "manifest.json", "manifest.hmac-sha256"
UNFINISHED = ".unfinished"
CHUNK_BYTES = 1 << 20
_OWNER_ALONE = 0o600
_LEVEL = 3  # six times smaller; a higher one takes three times as long for a tenth less
_LONGEST_MANIFEST = 1 << 30

_NOT_WHOLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class BadBackup(Exception):
    """The file is no backup of ours, or not as it was made; the message says what is wrong."""


def signing_key(secret_key: str) -> bytes:
    """By which a shop knows its own backups again."""
    return hmac.new(secret_key.encode(), b"sokoni backup", hashlib.sha256).digest()


class ArchiveWriter:
    """Puts parts into a backup that is being made."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    @contextmanager
    def part(self, entry: str, *, pack: bool = True) -> Iterator["PartWriter"]:
        """One part, written piece by piece. Pictures are packed already."""
        kind = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
        about = zipfile.ZipInfo(entry)
        about.compress_type = kind
        about.external_attr = _OWNER_ALONE << 16
        with self._file.open(about, "w", force_zip64=True) as stream:
            yield PartWriter(stream.write)

    def seal(self, manifest: Manifest, key: bytes) -> None:
        """The last thing that is written."""
        content = manifest.to_json()
        with self.part(MANIFEST) as part:
            part.write(content)
        with self.part(SIGNATURE) as part:
            part.write(_sign(content, key).encode())


class PartWriter:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> None:
        self._write(content)
        self._digest.update(content)
        self.size += len(content)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@contextmanager
def new_archive(target: Path) -> Iterator[ArchiveWriter]:
    """A backup under a hidden name, which gets its own when all of it is on the disk.

    Whatever fails leaves nothing behind. Raises FileExistsError where there is one of this name.
    """
    if target.exists():
        raise FileExistsError(f"{target} exists already.")
    hidden = target.with_name(f".{target.name}{UNFINISHED}")
    raw = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    with os.fdopen(raw, "w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # by which it is known that its maker lives
        try:
            packed = zipfile.ZipFile(file, "w", compresslevel=_LEVEL)
            try:
                yield ArchiveWriter(packed)
                packed.close()
            finally:
                packed.fp = None  # after a failure it is not to write its end into what is removed
            file.flush()
            os.fsync(file.fileno())
            hidden.rename(target)
        finally:
            hidden.unlink(missing_ok=True)
    flush_folder(target.parent)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_abandoned(hidden: Path) -> bool:
    """Whether nobody writes this unfinished backup any more."""
    with suppress(FileNotFoundError), hidden.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class Archive:
    """A backup that is read."""

    def __init__(self, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self._file = file
        self.manifest = manifest

    @contextmanager
    def part(self, entry: str) -> Iterator[IO[bytes]]:
        """Raises BadBackup for a part that is missing, and when reading one that is not whole."""
        with _readable():
            stream = self._file.open(entry)
        with stream, io.BufferedReader(_Checked(stream), CHUNK_BYTES) as reader:
            yield reader

    def entries(self) -> set[str]:
        return set(self._file.namelist()) - {MANIFEST, SIGNATURE}


class _Checked(io.RawIOBase):
    """What is not whole shows when it is read: that is a BadBackup too."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _readable():
            content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def opened_archive(path: Path, key: bytes | None) -> Iterator[Archive]:
    """Raises BadBackup for what is no whole backup, is of another version, or was not signed by
    this shop; with None for a key anybody's signature will do.
    """
    with _readable():
        file = zipfile.ZipFile(path)
    with file:
        names = file.namelist()
        if len(names) != len(set(names)) or not {MANIFEST, SIGNATURE} <= set(names):
            raise BadBackup("It is no backup of this software.")
        if file.getinfo(MANIFEST).file_size > _LONGEST_MANIFEST:
            raise BadBackup("It says too much about itself.")
        with _readable():
            content, signature = file.read(MANIFEST), file.read(SIGNATURE)
        yield Archive(file, _read_manifest(content, signature.decode("ascii", "replace"), key))


def _read_manifest(content: bytes, signature: str, key: bytes | None) -> Manifest:
    if key is not None and not hmac.compare_digest(_sign(content, key), signature):
        raise BadBackup(
            "It was changed after it was made, or made with another SECRET_KEY than this shop's."
        )
    try:
        manifest = Manifest.from_json(content)
    except (KeyError, TypeError, ValueError) as error:
        raise BadBackup(f"What it says about itself cannot be read ({error}).") from error
    if manifest.format != FORMAT:
        raise BadBackup(
            f"Its format is {manifest.format}, and this version of the software reads {FORMAT}."
        )
    return manifest


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (*_NOT_WHOLE, KeyError) as error:
        raise BadBackup(f"It is not whole ({_in_one_line(error)}).") from error


def _in_one_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _sign(content: bytes, key: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def copy_stream(source: IO[bytes], write: Callable[[bytes], Any]) -> None:
    while chunk := source.read(CHUNK_BYTES):
        write(chunk)
