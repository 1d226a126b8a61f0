import os
import shutil
from pathlib import Path

from obstore.store import LocalStore

from app.integrations.files.objects import ObjectFiles, translated_errors


class FolderFiles(ObjectFiles):
    """Files in a folder of this machine; it is made when it is first needed.

    A file appears whole or not at all, and is on the disk when ``write`` is done.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(lambda: LocalStore(folder, mkdir=True))
        self._folder = folder

    def write(self, path: str, content: bytes) -> None:
        super().write(path, content)
        file = self._folder / path
        with translated_errors():
            for written in (file, file.parent, self._folder):
                _flush_to_disk(written)

    def erase(self, folder: str) -> None:
        """With it goes what a process left behind that died while it wrote."""
        with translated_errors():
            try:
                shutil.rmtree(self._folder / folder)
            except FileNotFoundError:
                return

    def check(self) -> None:
        with translated_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(f"{self._folder} cannot be written.")


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
