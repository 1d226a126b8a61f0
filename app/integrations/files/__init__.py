"""Adapters of the FileStore port: a folder, an S3-compatible bucket, memory."""

from app.integrations.files.bucket import BucketFiles
from app.integrations.files.folder import FolderFiles
from app.integrations.files.memory import MemoryFiles
from app.integrations.files.opening import folder_of, open_files

__all__ = ["BucketFiles", "FolderFiles", "MemoryFiles", "folder_of", "open_files"]
