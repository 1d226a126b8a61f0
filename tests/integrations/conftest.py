import ssl

import pytest
from daraja_fakes import LoopbackServer, settings, store_with_token

from app.integrations.deadline_transport import DeadlineTransport
from app.integrations.mpesa import DarajaClient
from app.utils.clock import utc_now


@pytest.fixture
def serve():
    """Start a loopback server that behaves as told; it is gone after the test."""
    servers = []

    def start(behave):
        servers.append(LoopbackServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect():
    """A client with a token already, real time and small timeouts."""
    clients = []

    def build(base_url, **changes):
        sound = settings(
            base_url=base_url,
            **{
                "connect_timeout_seconds": 1,
                "read_timeout_seconds": 0.4,
                "total_timeout_seconds": 0.8,
                **changes,
            },
        )
        transport = None
        if base_url.startswith("http:"):  # spares the reading of all certificates
            transport = DeadlineTransport(
                total_timeout_seconds=sound.total_timeout_seconds,
                max_connections=sound.max_connections,
                ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            )
        clients.append(DarajaClient(sound, store_with_token(), utc_now, transport))
        return clients[-1]

    yield build
    for client in clients:
        client.close()
