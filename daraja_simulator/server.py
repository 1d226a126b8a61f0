"""The simulator as a server: a socket, werkzeug's threaded server, and a clean end."""

import socket
import threading
from types import TracebackType
from typing import Self

from werkzeug.serving import WSGIRequestHandler, make_server

from daraja_simulator.app import create_simulator
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.gateway import Gateway

_POLL_SECONDS = 0.02
_BACKLOG = 128


class _Handler(WSGIRequestHandler):
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The application logs its requests itself, with phones masked."""


class SimulatorServer:
    """Runs the simulator in a thread of this process.

    with SimulatorServer(SimulatorConfig(clock_factor=0)) as simulator:
        client = DarajaClient(base_url=simulator.url)
        ...
        simulator.advance(3)

    Raises OSError when the address is taken.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig()
        self.app = create_simulator(self.config)
        self.gateway: Gateway = self.app.extensions["gateway"]
        with _listen(self.config.host, self.config.port) as listener:
            self._server = make_server(
                self.config.host,
                listener.getsockname()[1],
                self.app,
                threaded=True,
                request_handler=_Handler,
                fd=listener.fileno(),
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        self.gateway.timetable.start()
        self._thread.start()

    def stop(self) -> None:
        """Close the port and forget what is due; deliveries on their way are left behind."""
        self.gateway.timetable.stop()
        self.gateway.clock.nudge()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def advance(self, seconds: float, timeout_seconds: float = 15) -> None:
        """Let simulated time pass, and have the callbacks it brings answered one moment at a time.

        Raises TimeoutError if one is not answered within that many real seconds.
        """
        if not self.gateway.advance(seconds, timeout_seconds):
            raise TimeoutError("A callback is still on its way.")

    def settle(self, timeout_seconds: float = 15) -> None:
        """Wait until nothing is due and no callback is on its way."""
        if not self.gateway.advance(0, timeout_seconds):
            raise TimeoutError("A callback is still on its way.")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    """Bind by ourselves: werkzeug would end the process when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
