from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from app.jobs import take_lines
from app.jobs.work import Work
from app.ports import Ports


@pytest.fixture
def work(config, database, clock, gateway, merchant, doorbell, webhooks) -> Work:
    """What jobs are given: fake ports, and queries that need not wait for one another."""
    return Work(
        database,
        Ports(
            clock=clock,
            gateway=gateway,
            merchant=merchant,
            doorbell=doorbell,
            webhooks=webhooks,
        ),
        replace(config, mpesa_queries_per_second=1000),
    )


@pytest.fixture
def logs():
    """What is logged, as it was said; printing a traceback in colours takes seconds."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def fault_in_booking(monkeypatch):
    """A fault of ours for as long as it lasts: the money of one receipt cannot be booked."""

    @contextmanager
    def at(receipt: str) -> Iterator[None]:
        real = take_lines.receive_money

        def stumble(session, facts, now):
            if facts.receipt == receipt:
                raise KeyError("a bug")
            return real(session, facts, now)

        with monkeypatch.context() as patch:
            patch.setattr(take_lines, "receive_money", stumble)
            yield

    return at
