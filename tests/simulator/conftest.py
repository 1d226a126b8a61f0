from contextlib import ExitStack
from datetime import datetime

import httpx2
import pytest

from daraja_simulator import SimulatorConfig, SimulatorServer, server
from daraja_simulator.clock import EAT
from tests.simulator.shop import Shop, Sink

STARTED_AT = datetime(2026, 11, 22, 23, 59, 50, tzinfo=EAT)


@pytest.fixture(scope="session")
def client():
    with httpx2.Client(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def open_shop(sink, client, monkeypatch):
    """Start a simulator of one's own and a shop beside it; its clock stands still."""
    monkeypatch.setattr(server, "_POLL_SECONDS", 0.003)  # hundreds of ends must not take a minute
    with ExitStack() as stack:

        def open_one(**settings):
            settings = {"clock_factor": 0, "seed": 1, "start_at": STARTED_AT} | settings
            simulator = stack.enter_context(SimulatorServer(SimulatorConfig(**settings)))
            return Shop(simulator, sink, client)

        yield open_one


@pytest.fixture
def shop(open_shop):
    return open_shop()
