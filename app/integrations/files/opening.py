from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from app.integrations.files.bucket import Bucket, BucketFiles
from app.integrations.files.folder import FolderFiles
from app.integrations.files.memory import MemoryFiles
from app.ports import FileStore


def open_files(media_url: str) -> FileStore:
    """The store that MEDIA_URL names; nothing is connected yet."""
    parts = urlsplit(media_url)
    match parts.scheme:
        case "s3":
            return BucketFiles(_bucket(media_url))
        case "memory":
            return MemoryFiles()
    return FolderFiles(folder_of(media_url) or Path())


def folder_of(media_url: str) -> Path | None:
    """The folder of this machine that MEDIA_URL names; None where the files are kept elsewhere."""
    parts = urlsplit(media_url)
    match parts.scheme:
        case "s3" | "memory":
            return None
        case "file":
            return Path(unquote(parts.path))
    return Path(media_url).absolute()


def _bucket(media_url: str) -> Bucket:
    """``s3://key:secret@bucket/prefix?endpoint=https://…&region=…``; only the bucket is needed."""
    parts = urlsplit(media_url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return Bucket(
        name=parts.hostname or "",
        prefix=unquote(parts.path).strip("/"),
        endpoint=asked.get("endpoint"),
        region=asked.get("region", "us-east-1"),
        access_key_id=unquote(parts.username) if parts.username else None,
        secret_access_key=unquote(parts.password) if parts.password else None,
    )
