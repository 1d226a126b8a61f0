"""The real shop as processes: its database filled, its web server started as in production."""

import base64
import http.client
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import psutil
import psycopg

from app import schema_migrations
from app.cli.children import python
from app.db import Database
from bench.fill import fill
from bench.options import Options
from drill.environment import shop_environment
from drill.postgres import Postgres
from drill.processes import Program, children_of, free_port, wait_until

_OK = 200
_FIRST = "/healthz"
_MEGABYTE = 1024 * 1024
WEB_WORKERS = {"postgresql": 2, "sqlite": 1}
_START_SECONDS = 120.0
_POLL_SECONDS = 0.01
_OF_EACH_ANSWER = frozenset({"connection", "content-length", "date", "server", "x-request-id"})


Fill = Callable[[str, int], None]
"""Makes the empty database at an address hold so many products."""


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """A web server that runs."""

    port: int
    program: Program
    environment: dict[str, str]
    started_seconds: float
    """From its beginning to its first answer."""

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """The processes that serve requests."""
        return children_of(self.program.pid)

    def memory_mb(self) -> float:
        """Of the biggest worker: what is its own, and its share of what it shares."""
        return max(map(_memory_mb, self.workers()))

    def whole_memory_mb(self) -> float:
        """Of all its processes together."""
        return sum(map(_memory_mb, [self.program.pid, *self.workers()]))


@dataclass(frozen=True, slots=True)
class Shop(Server):
    """One web server and what it stands on. ``database`` is for looking and writing beside it."""

    kind: str
    database: Database


class Shops:
    """Opens shops. Used as a context manager: nothing that it started is left at its end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._closing = ExitStack()
        self._postgres: Postgres | None = None
        self._postgres_pid = 0

    def __enter__(self) -> Self:
        self._logs = Path(tempfile.mkdtemp(prefix="sokoni-bench-"))
        self._closing.callback(shutil.rmtree, self._logs, ignore_errors=True)
        self._folder = (self._options.keep or self._logs).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @contextmanager
    def open(
        self, kind: str, products: int, *, purpose: str = "shop", **settings: str
    ) -> Iterator[Shop]:
        """A shop with so many products; ``settings`` are environment variables of its server.

        Whoever writes into it names a ``purpose``, and gets a database that others do not read.
        """
        url = self.database_url(kind, products, purpose)
        with ExitStack() as closing:
            database = Database(url)
            closing.callback(database.dispose)
            schema_migrations.upgrade(database)  # one that was kept may be older
            port = free_port()
            environment = {
                **shop_environment(
                    database_url=url,
                    queue_url=f"sqlite:///{self._logs}/queue.db",
                    port=port,
                    public_url=f"http://127.0.0.1:{port}",
                    mpesa_base_url="http://127.0.0.1:9",
                ),
                "MEDIA_URL": f"{self._logs}/media",
                "WEB_WORKERS": str(WEB_WORKERS[kind]),
                **settings,
            }
            with self._serving(_ours("bench.wsgi:application"), environment) as (web, seconds):
                yield Shop(port, web, environment, seconds, kind, database)

    @contextmanager
    def bare(self, shop: Shop, *paths: str) -> Iterator[Server]:
        """Flask alone on such a server as the shop's, sending what the shop answers there."""
        file = self._logs / "answers.json"
        answers = {path: shop.get(path) for path in (_FIRST, *paths)}
        file.write_text(json.dumps({path: _kept(one) for path, one in answers.items()}), "ascii")
        port = free_port()
        environment = {**shop.environment, "PORT": str(port), "ANSWERS": str(file)}
        with self._serving(_ours("bench.bare:application"), environment) as (web, seconds):
            yield Server(port, web, environment, seconds)

    @contextmanager
    def other(self, command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
        """Somebody else's server. Its environment says by PORT where it is to be asked."""
        with self._serving(command, told := dict(environment)) as (web, seconds):
            yield Server(int(told["PORT"]), web, told, seconds)

    @contextmanager
    def _serving(
        self, command: Sequence[str], environment: dict[str, str]
    ) -> Iterator[tuple[Program, float]]:
        """The server, and the seconds until its first answer."""
        began = time.perf_counter()
        web = Program("web", command, self._logs, environment)
        try:
            while not _answers(web, int(environment["PORT"])):
                if time.perf_counter() - began > _START_SECONDS:
                    raise TimeoutError(f"The web server does not answer:\n{web.tail()}")
                time.sleep(_POLL_SECONDS)
            yield web, time.perf_counter() - began
        finally:
            web.clear_away()

    def database_url(
        self, kind: str, products: int, purpose: str = "shop", fill: Fill | None = None
    ) -> str:
        """Of a database that holds so many products; it is filled where there is none yet."""
        name, fill = f"{purpose}_{products}", fill or _fill
        return (
            self._sqlite_url(name, products, fill)
            if kind == "sqlite"
            else self._postgresql_url(name, products, fill)
        )

    def _sqlite_url(self, name: str, products: int, fill: Fill) -> str:
        file, begun = self._folder / f"{name}.db", self._folder / f"{name}.begun.db"
        if not file.exists():
            for half in self._folder.glob(f"{begun.name}*"):
                half.unlink()
            fill(f"sqlite:///{begun}", products)
            begun.rename(file)
        return f"sqlite:///{file}"

    def _postgresql_url(self, name: str, products: int, fill: Fill) -> str:
        postgres = self._started_postgres()
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(known, [name]).fetchone() is None:
                begun = f"{name}_begun"
                connection.execute(f'DROP DATABASE IF EXISTS "{begun}"')
                connection.execute(f'CREATE DATABASE "{begun}"')
                fill(postgres.url.replace("/postgres?", f"/{begun}?"), products)
                connection.execute(f'ALTER DATABASE "{begun}" RENAME TO "{name}"')
        return postgres.url.replace("/postgres?", f"/{name}?")

    def postgres_seconds(self) -> float:
        """Of a processor, that PostgreSQL has used so far."""
        main = psutil.Process(self._postgres_pid)
        own = main.cpu_times()
        ended = own.children_user + own.children_system
        return ended + sum(_seconds(one) for one in (main, *main.children()))

    def _started_postgres(self) -> Postgres:
        if self._postgres is None:
            files = Postgres(self._folder)
            server = Program(
                "postgres", files.command, self._logs, {"LC_ALL": "C"}, user=files.user
            )
            self._closing.callback(_shut_down, server)
            wait_until(lambda: files.is_ready(server), "PostgreSQL is ready")
            self._postgres, self._postgres_pid = files, server.pid
        return self._postgres


def _ours(application: str) -> list[str]:
    return python("-m", "bench.server", application)


def _shut_down(server: Program) -> None:
    """At once, whoever is still connected; what is kept has to be whole."""
    server.signal(signal.SIGINT)
    server.wait()
    server.clear_away()


def _fill(url: str, products: int) -> None:
    database = Database(url)
    try:
        fill(database, products)
    finally:
        database.dispose()


def _kept(answer: Answer) -> tuple[str, int, list[tuple[str, str]]]:
    headers = [
        (name, value)
        for name, value in answer.headers.items()
        if name.lower() not in _OF_EACH_ANSWER
    ]
    return base64.b64encode(answer.body).decode(), answer.status, headers


def _seconds(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:  # whose time is its parent's by now
        return 0.0
    return float(used.user + used.system)


def _memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / _MEGABYTE


def _answers(web: Program, port: int) -> bool:
    if not web.is_alive():
        raise RuntimeError(f"The web server ended:\n{web.tail()}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    try:
        connection.request("GET", _FIRST)
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
