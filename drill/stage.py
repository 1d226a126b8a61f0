"""The shop and all that it stands on, each a process of its own, and each to be killed."""

import http.client
import re
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from app import schema_migrations
from app.cli.children import python
from app.config import PUBLIC_SANDBOX_PASSKEY
from app.db import Database
from drill.environment import MANAGE, shop_environment
from drill.line import Line
from drill.office import Office
from drill.options import Options
from drill.postgres import Postgres
from drill.processes import ROOT, Program, children_of, free_port, wait_until
from drill.safaricom import Safaricom
from drill.supervisor import Post, Supervisor

SIMULATOR_ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
_OK = 200
# In simulated seconds, as the real ones are in real seconds; all lie beyond the latest callback,
# which comes after 183.
_CHECKS = (30, 45, 60, 90, 120, 180, 240, 300, 360)
_UNKNOWN_AFTER = 180
_NO_ANSWER_AFTER = 300
_GIVE_UP_AFTER = 400
_EXPIRY = 400
_OUTAGE_PAUSE = 30
_PULL_EVERY = 3600
_PULL_SETTLING = 300
_OPENING_SHILLINGS = 100_000_000
_PAYS_OUT = "600000"
"""The shortcode that payouts come from, where no setting says otherwise."""
"""What M-Pesa holds for us in the beginning, so that no payout fails for want of money."""


class Stage:
    """Used as a context manager: nothing that it started is left at its end."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.supervisor = Supervisor()
        self.web_port = free_port()
        self.postgres_post: Post | None = None
        self.workers: list[Post] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Start everything. Raises AssertionError with its last words where one stays down."""
        try:
            self._closing.callback(self.supervisor.stop)
            self._open_database()
            self._start_simulator()
            self._start_shop()
            self.supervisor.start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def stop_shop(self) -> None:
        """Leave nothing but the database."""
        self.supervisor.retire(self.web, *self.workers, self.simulator)

    @property
    def list_settles_seconds(self) -> float:
        """So many real seconds old a payment is when the shop believes M-Pesa's list about it."""
        return _PULL_SETTLING / self.options.clock_factor

    # --- what is running ---

    @property
    def shop(self) -> list[Post]:
        return [self.web, *self.workers]

    @property
    def is_up(self) -> bool:
        return all(post.is_ready for post in self.supervisor.posts)

    def web_children(self) -> list[int]:
        """The processes that serve requests; none while the web server is down."""
        try:
            return children_of(self.web.program.pid)
        except FileNotFoundError:
            return []

    def forget_queue(self) -> None:
        """Lose every message that would have woken a worker."""
        if self.options.is_sqlite:
            with closing(sqlite3.connect(self.folder / "queue.db", timeout=10)) as queue, queue:
                for table in ("task", "schedule"):
                    queue.execute(f"DELETE FROM {table}")  # noqa: S608 - two names of ours
            return
        with self.database.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS sokoni_queue CASCADE")

    # --- starting ---

    def _open_database(self) -> None:
        if self.options.is_sqlite:
            self.database_url = f"sqlite:///{self.folder}/sokoni.db"
            self.queue_url = f"sqlite:///{self.folder}/queue.db"
        else:
            files = Postgres(self.folder)
            self.postgres = files
            self.database_url = self.queue_url = files.url
            self.postgres_post = self._keep(
                "postgres", files.command, {"LC_ALL": "C"}, files.is_ready, user=files.user
            )
            self.supervisor.wait_until_ready(self.postgres_post)
        self.database = Database(self.database_url)
        self._closing.callback(self.database.dispose)
        schema_migrations.upgrade(self.database)

    def _start_simulator(self) -> None:
        self.simulator = self._keep(
            "simulator",
            self._simulator_command("--port", "0"),
            SIMULATOR_ENVIRONMENT,
            lambda program: find_url(program) is not None,
        )
        url = wait_until(lambda: find_url(self.simulator.program), "the simulator listens")
        self.safaricom = Safaricom(url)
        self.safaricom.set_faults(self.options.faults.of_simulator())
        self.to_safaricom = self._closing.enter_context(Line(self.safaricom.port))
        self.from_safaricom = self._closing.enter_context(Line(self.web_port))

    def _simulator_command(self, *where: str) -> list[str]:
        options = self.options
        return python(
            *("-m", "daraja_simulator", *where, "--seed", str(options.seed)),
            *("--clock-factor", str(options.clock_factor), "--real-dates"),
            *("--utility-balance", str(_OPENING_SHILLINGS)),
            *("--merchant", f"{_PAYS_OUT}:{PUBLIC_SANDBOX_PASSKEY}"),
        )

    def _start_shop(self) -> None:
        settings = self._settings()
        self.web = self._keep("web", python(MANAGE, "web"), settings, lambda _: self._serves())
        self.workers = [
            self._keep(f"worker-{number}", python(MANAGE, "worker"), settings, works)
            for number in range(1, self.options.workers + 1)
        ]
        for post in self.shop:
            self.supervisor.wait_until_ready(post)
        self.office = Office(self.folder, settings)
        self.office.register()

    def _public_url(self) -> str:
        return self.from_safaricom.url

    def _gateway_url(self) -> str:
        return self.to_safaricom.url

    def _settings(self) -> dict[str, str]:
        def hurried(seconds: float) -> str:
            return f"{seconds / self.options.clock_factor:g}"

        return {
            **shop_environment(
                database_url=self.database_url,
                queue_url=self.queue_url,
                port=self.web_port,
                public_url=self._public_url(),
                mpesa_base_url=self._gateway_url(),
            ),
            "WEB_WORKERS": "1" if self.options.is_sqlite else str(self.options.web_workers),
            "ACCESS_TOKEN_SECONDS": "86400",
            "MAX_OPEN_ORDERS": "10000",
            "SWEEP_SECONDS": "1",
            "ORDER_EXPIRY_SECONDS": f"{_EXPIRY / self.options.clock_factor:.0f}",
            "MPESA_READ_TIMEOUT_SECONDS": "3",
            "MPESA_OUTAGE_PAUSE_SECONDS": hurried(_OUTAGE_PAUSE),
            "MPESA_QUERIES_PER_SECOND": "200",
            "MPESA_QUERY_SCHEDULE_SECONDS": ",".join(map(hurried, _CHECKS)),
            "MPESA_UNKNOWN_AFTER_SECONDS": hurried(_UNKNOWN_AFTER),
            "MPESA_NO_ANSWER_AFTER_SECONDS": hurried(_NO_ANSWER_AFTER),
            "MPESA_GIVE_UP_AFTER_SECONDS": hurried(_GIVE_UP_AFTER),
            "MPESA_PULL_EVERY_SECONDS": hurried(_PULL_EVERY),
            "MPESA_PULL_SETTLING_SECONDS": f"{self.list_settles_seconds:g}",
        }

    def _keep(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        is_ready: Callable[[Program], bool],
        *,
        user: str | None = None,
    ) -> Post:
        post = Post(name, command, self.folder, environment, is_ready=is_ready, user=user)
        return self.supervisor.keep(post)

    def _serves(self) -> bool:
        return serves("127.0.0.1", self.web_port)


def serves(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def find_url(program: Program) -> str | None:
    found = re.search(r"simulator on (http://\S+)", program.log())
    return found[1] if found else None


def works(program: Program) -> bool:
    return "worker_started" in program.log()
