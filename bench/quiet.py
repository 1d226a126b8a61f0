"""A server that does nothing, to see what the client can do at most."""

import selectors
import socket
from multiprocessing import get_context

from bench.load import Load, Request, drive

_BODY = b"x" * 11_000
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_SECONDS = 2


def measure_client(connections: int) -> Load:
    """What the client gets out of a server of a few lines, which sends 11 KB for anything."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = get_context("fork").Process(target=_serve, args=(listener,), daemon=True)
    server.start()
    try:
        port: int = listener.getsockname()[1]
        return drive(port, [Request("/")], _SECONDS, connections)
    finally:
        server.kill()
        server.join()
        listener.close()


def _serve(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _events in selector.select():
            if key.fileobj is listener:
                connection, _address = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, connection)
                continue
            connection = key.data
            try:
                if connection.recv(65_536):
                    connection.sendall(_ANSWER)
                    continue
            except ConnectionError:
                pass  # which is how a client hangs up that has no time left
            selector.unregister(connection)
            connection.close()
