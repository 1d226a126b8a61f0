"""The command line: `python -m daraja_simulator`."""

import errno
import signal
import sys
import threading
from collections.abc import Sequence

from daraja_simulator.config import SANDBOX_INITIATOR, SimulatorConfig
from daraja_simulator.logs import set_up_logging
from daraja_simulator.merchants import DEFAULT_MERCHANTS
from daraja_simulator.options import make_parser
from daraja_simulator.server import SimulatorServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. 0: stopped as asked; 1: could not listen; 2: bad usage."""
    config = read_config(arguments)
    set_up_logging()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = SimulatorServer(config)
    except OSError as error:
        _complain(config, error)
        return 1
    with server:
        print(_describe(server), flush=True)  # noqa: T201 - a command line prints
        stopping.wait()
    return 0


def read_config(arguments: Sequence[str] | None = None) -> SimulatorConfig:
    """Exits with 2 and a sentence on standard error when the arguments make no sense."""
    chosen = vars(make_parser().parse_args(arguments))
    chosen["merchants"] = (*DEFAULT_MERCHANTS, *chosen.pop("merchant"))
    chosen["initiators"] = tuple(chosen.pop("initiator")) or (SANDBOX_INITIATOR,)
    chosen["missing_products"] = frozenset(chosen.pop("without"))
    return SimulatorConfig(**chosen)  # each option is named like its setting


def _describe(server: SimulatorServer) -> str:
    merchants = ", ".join(merchant.describe() for merchant in server.config.merchants)
    clock = server.gateway.clock.factor
    return f"Daraja simulator on {server.url} ({merchants}; clock x{clock:g})"


def _complain(config: SimulatorConfig, error: OSError) -> None:
    is_taken = error.errno == errno.EADDRINUSE
    reason = "the port is in use" if is_taken else error.strerror or str(error)
    print(  # noqa: T201 - a command line prints
        f"Cannot listen on {config.host}:{config.port}: {reason}.", file=sys.stderr
    )
