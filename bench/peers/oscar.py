"""A shop of django-oscar: as many of the same products, the same server with as many processes and
threads, the same kind of database.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text

from app.db import Database
from bench.peers.environment import python_of
from bench.shop import WEB_WORKERS, Server, Shops
from drill.processes import ROOT, free_port

THREADS = 4
"""As many as our shop works on at a time in each process; nothing stands in front of them."""

_FILL_SECONDS = 1_800


@dataclass(frozen=True, slots=True)
class Oscar(Server):
    kind: str
    database: Database

    def sessions(self) -> Sequence[str]:
        """The cookies of buyers who have signed in."""
        with self.database.engine.connect() as connection:
            found = connection.scalars(text("SELECT session_key FROM django_session ORDER BY 1"))
            return list(map(str, found))

    def count_orders(self) -> tuple[int, int]:
        """How many orders there are, and how many units its shelves say that are ordered."""
        orders, units = "SELECT count(*) FROM order_order", "SELECT sum(num_allocated) FROM {}"
        with self.database.engine.connect() as connection:
            return (
                connection.scalar(text(orders)) or 0,
                connection.scalar(text(units.format("partner_stockrecord"))) or 0,
            )


@contextmanager
def open_oscar(shops: Shops, kind: str, products: int, **settings: str) -> Iterator[Oscar]:
    """``settings`` are environment variables: see oscar_site/settings.py."""
    python = str(python_of("oscar"))

    def fill(url: str, products: int) -> None:
        command = [python, "-m", "bench.peers.oscar_site.fill", str(products)]
        subprocess.run(command, check=True, env=_environment(url), timeout=_FILL_SECONDS)

    url = shops.database_url(kind, products, "oscar", fill)
    environment = {**_environment(url), "PORT": str(port := free_port()), **settings}
    command = [
        *(python, "-m", "granian", "--interface", "wsgi", "--log-level", "error"),
        *("--workers", str(WEB_WORKERS[kind]), "--blocking-threads", str(THREADS)),
        *("--http", "1", "--no-ws", "--host", "127.0.0.1", "--port", str(port)),
        "bench.peers.oscar_site.wsgi:application",
    ]
    with shops.other(command, environment) as server, _looking(url) as database:
        yield Oscar(
            server.port,
            server.program,
            server.environment,
            server.started_seconds,
            kind,
            database,
        )


@contextmanager
def _looking(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


def _environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "bench.peers.oscar_site.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": "bench-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
    }
