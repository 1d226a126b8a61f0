"""The line between the shop and Safaricom: a relay of bytes that can be cut."""

import asyncio
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Self

_PIECE_BYTES = 65_536
_BACKLOG = 256
_RESET_AT_ONCE = struct.pack("ii", 1, 0)
_BROKEN = (OSError, asyncio.IncompleteReadError)


class Line:
    """Listens on a port of its own and speaks with another, in a thread of its own.

    While it is cut, every connection is reset: those that stand at once, others as they come.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._dead_until = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self, seconds: float) -> None:
        """Reset all that is under way, and whatever comes for so long."""
        self._dead_until = time.monotonic() + seconds
        self._loop.call_soon_threadsafe(self._reset_all)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, backlog=_BACKLOG)
        )
        self._loop.run_forever()
        server.close()
        self._reset_all()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def _stop(self) -> None:
        self._loop.stop()

    async def _serve(self, caller: asyncio.StreamReader, to_caller: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._dead_until:
            self.cuts += 1
            _reset(to_caller)
            return
        try:
            called, to_called = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(to_caller)  # nobody listens there: the caller learns no more than that
            return
        pair = {to_caller, to_called}
        self._writers |= pair
        try:
            await asyncio.gather(_carry(caller, to_called), _carry(called, to_caller))
        finally:
            self._writers -= pair
            for writer in pair:
                writer.close()

    def _reset_all(self) -> None:
        self.cuts += len(self._writers) // 2
        for writer in self._writers:
            _reset(writer)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, and in the end that no more comes."""
    with suppress(*_BROKEN):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    with suppress(*_BROKEN, RuntimeError):
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
    writer.transport.abort()
