"""What the three kinds of store share: obstore's calls, and its errors made one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeAlias

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from app.ports import FileStoreError

Store: TypeAlias = LocalStore | MemoryStore | S3Store

_LONGEST_MESSAGE = 300


class ObjectFiles:
    """A FileStore over one of obstore's stores, which is opened when it is first needed: a shop
    whose storage is down starts all the same, and says that it is not ready.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store

    @cached_property
    def _store(self) -> Store:
        return self._open_store()

    def write(self, path: str, content: bytes) -> None:
        with translated_errors():
            obstore.put(self._store, path, content)

    def read(self, path: str) -> bytes | None:
        with translated_errors():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def erase(self, folder: str) -> None:
        with translated_errors():
            found = obstore.list(self._store, prefix=folder).collect()
            for file in found:
                self._delete(file["path"])

    def check(self) -> None:
        with translated_errors():
            try:
                obstore.head(self._store, "readiness")
            except FileNotFoundError:
                return  # that is an answer

    def _delete(self, path: str) -> None:
        try:
            obstore.delete(self._store, path)
        except FileNotFoundError:
            return  # another hand was faster


@contextmanager
def translated_errors() -> Iterator[None]:
    """Obstore's errors and the operating system's as ours. A bug of ours stays one."""
    try:
        yield
    except (BaseError, OSError) as error:
        said = str(error).partition("\n")[0]
        raise FileStoreError(said[:_LONGEST_MESSAGE]) from error
