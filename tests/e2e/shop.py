"""A whole shop: web server, worker and Safaricom's side as processes, on a database of its own.

Everything is done over HTTP, as a customer would; the database is opened beside it only to see
what is really there.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

import httpx2
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import schema_migrations
from app.cli.children import python
from app.config import PUBLIC_SANDBOX_PASSKEY
from app.db import Database
from app.models import (
    InboxMessage,
    LedgerEntry,
    Notification,
    Order,
    Payment,
    Product,
    Reservation,
    Task,
    User,
)
from app.services.audit import audit
from app.utils.clock import utc_now
from drill.books import compare
from drill.environment import MANAGE, shop_environment
from drill.evidence import (
    read_attempts,
    read_bookings,
    read_matters,
    read_movements,
    read_order_numbers,
)
from drill.processes import PATIENCE_SECONDS, Program, free_port, wait_until
from tests.postgres import create_database

PASSWORD = "Correct horse 12"
PRICE = 33.25
QUANTITY = 3
STOCK = 5
TOTAL_CENTS = 9_975
AMOUNT_SHILLINGS = 100
AMOUNT_CENTS = 10_000

_numbers = count(1)
_HTTP_SECONDS = 30.0


def wait_for_worker(worker: Program) -> None:
    """Until it works; before that, SIGTERM is its end like any other program's."""
    wait_until(lambda: "worker_started" in worker.log(), "the worker works")


@dataclass(frozen=True)
class Person:
    id: int
    username: str
    phone: str
    headers: Mapping[str, str]


@dataclass
class Purchase:
    """One buyer with one order for one product of which nobody else buys."""

    name: str
    buyer: Person
    product_id: int
    order_id: int
    push: httpx2.Response | None = None
    transaction_id: int | None = None


@dataclass(frozen=True)
class Facts:
    """All that can be known of a purchase, in the API and in the database."""

    transaction: dict[str, Any]
    order: dict[str, Any]
    available: int
    on_hand: int
    reserved: int
    reservation: str
    ledger: dict[str, int]
    tasks: list[str]
    notifications: list[str]
    payment: dict[str, Any]
    inbox: list[str | None] = field(default_factory=list)


class Shop:
    """Owns the processes. Settings are environment variables, over the hasty ones below."""

    def __init__(self, folder: Path, database_url: str, **settings: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.database = Database(database_url)
        self.settings = settings
        self.web_port = free_port()
        self.web_url = f"http://127.0.0.1:{self.web_port}"
        self.simulator_url = ""
        self.programs: list[Program] = []
        self.web: Program | None = None
        self.worker: Program | None = None
        self.simulator: Program | None = None
        self.http = httpx2.Client(
            timeout=_HTTP_SECONDS,
            trust_env=False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=0),
        )
        self._lock = threading.Lock()
        self._seller: Person | None = None

    # --- processes ---

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs:
            program.clear_away()
        self.http.close()
        self.database.dispose()

    def environment(self, **more: str) -> dict[str, str]:
        queue = f"sqlite:///{self.folder}/queue.db"
        return {
            **shop_environment(
                database_url=self.database_url,
                queue_url=queue if self.database.is_sqlite else self.database_url,
                port=self.web_port,
                public_url=self.web_url,
                mpesa_base_url=self.simulator_url,
            ),
            "WEB_WORKERS": "1" if self.database.is_sqlite else "2",
            "SWEEP_SECONDS": "0.5",
            "ORDER_EXPIRY_SECONDS": "3600",
            "MPESA_READ_TIMEOUT_SECONDS": "3",
            "MPESA_QUERIES_PER_SECOND": "500",
            "MPESA_QUERY_SCHEDULE_SECONDS": ",".join(str(4 + 1.5 * step) for step in range(60)),
            "MPESA_UNKNOWN_AFTER_SECONDS": "4",
            "MPESA_NO_ANSWER_AFTER_SECONDS": "3600",
            "MPESA_GIVE_UP_AFTER_SECONDS": "86400",
            **self.settings,
            **more,
        }

    def open(self, *, clock_factor: float = 0) -> Self:
        """Start all three, the web server and the worker side by side."""
        self.start_simulator(clock_factor=clock_factor)
        self.start_worker(wait=False)
        self.start_web()
        return self

    def start_simulator(self, *, clock_factor: float = 0) -> Program:
        """With a clock that stands still unless told otherwise: ``advance`` moves it."""
        arguments = ["-m", "daraja_simulator", "--port", "0", "--seed", "1"]
        arguments += ["--merchant", f"600000:{PUBLIC_SANDBOX_PASSKEY}"]  # who pays out
        self.simulator = self._start(
            "simulator", [*arguments, "--clock-factor", str(clock_factor)], {}
        )
        printed = self.simulator.log
        found = wait_until(
            lambda: re.search(r"simulator on (http://\S+)", printed()), "the simulator listens"
        )
        self.simulator_url = found[1]
        return self.simulator

    def start_web(self, *, wait: bool = True, **more: str) -> Program:
        self.web = self._start("web", [MANAGE, "web"], more)
        if wait:
            self.wait_for_web()
        return self.web

    def start_worker(self, *, wait: bool = True, **more: str) -> Program:
        self.worker = self._start("worker", [MANAGE, "worker"], more)
        if wait:
            wait_for_worker(self.worker)
        return self.worker

    def stop_worker(self) -> None:
        """As a deploy does: what it is doing it finishes."""
        assert self.worker is not None
        wait_for_worker(self.worker)
        assert self.worker.stop() == 0, self.worker.tail()

    def restart_worker(self, *, wait: bool = True, **more: str) -> Program:
        self.stop_worker()
        return self.start_worker(wait=wait, **more)

    def wait_for_web(self, url: str | None = None) -> None:
        def is_ready() -> bool:
            try:
                return self.http.get((url or self.web_url) + "/healthz").status_code == 200
            except httpx2.TransportError:
                return False

        wait_until(is_ready, "the web server answers")

    def start_doomed_webs(self, points: Mapping[str, str | None]) -> dict[str, "DoomedWeb"]:
        """Web servers of a single process each, that die by SIGKILL where their point says.

        Beside each point stands where Safaricom is told to report to; None is that server itself.
        """
        urls = {point: f"http://127.0.0.1:{free_port()}" for point in points}
        specifications = [
            f"{point}:{url.rpartition(':')[2]}:{points[point] or url}"
            for point, url in urls.items()
        ]
        program = self._start("doomed", ["-m", "tests.e2e.doomed_webs", *specifications], {})
        for url in urls.values():
            self.wait_for_web(url)
        return {point: DoomedWeb(program, point, url) for point, url in urls.items()}

    def start_program(self, name: str, arguments: list[str]) -> Program:
        """A program beside the shop, such as a merchant's own system."""
        return self._start(name, arguments, {})

    def _start(self, name: str, arguments: list[str], more: Mapping[str, str]) -> Program:
        with self._lock:
            number = sum(one.name.startswith(name) for one in self.programs) + 1
            environment = self.environment(**more)
            program = Program(f"{name}-{number}", python(*arguments), self.folder, environment)
            self.programs.append(program)
        return program

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the shop to its end."""
        return subprocess.run(
            python(MANAGE, *arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def logs(self) -> Iterator[tuple[str, str]]:
        """What each process printed last, for the report of a test that failed."""
        for program in self.programs:
            yield program.name, program.tail()

    # --- Safaricom's side ---

    def simulate(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self.http.request(method, f"{self.simulator_url}/__sim{path}", json=body)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = json.loads(answer.text)
        return document

    def advance(self, seconds: float) -> None:
        """Let simulated time pass; every callback that it brings has been answered."""
        self.simulate("POST", "/clock", {"advance": seconds, "wait": True})

    def prompts(self, phone: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.simulate("GET", f"/prompts?phone={phone}")["prompts"]
        return found

    def money_moved(self) -> list[dict[str, Any]]:
        moved: list[dict[str, Any]] = self.simulate("GET", "/ledger")["payments"]
        return moved

    def deliveries_of(self, checkout_request_id: str) -> list[dict[str, Any]]:
        return [
            one
            for one in self.simulate("GET", "/deliveries")["deliveries"]
            if one["checkout_request_id"] == checkout_request_id
        ]

    # --- customers ---

    def call(
        self, method: str, path: str, person: Person | None = None, *, url: str = "", **kwargs: Any
    ) -> httpx2.Response:
        headers = {**(person.headers if person else {}), **kwargs.pop("headers", {})}
        return self.http.request(method, (url or self.web_url) + path, headers=headers, **kwargs)

    def sign_up(self, name: str, phone: str) -> Person:
        username = f"b{next(_numbers)}-{name[:20]}"
        new = {
            "username": username,
            "email": f"{username}@shop.example",
            "password": PASSWORD,
            "phone_number": phone,
        }
        registered = self.call("POST", "/api/register", json=new)
        assert registered.status_code == 201, registered.text
        signed_in = self.call(
            "POST", "/api/login", json={"username": username, "password": PASSWORD}
        )
        assert signed_in.status_code == 200, signed_in.text
        token = signed_in.json()["access_token"]
        user_id = registered.json()["id"]
        return Person(user_id, username, phone, {"Authorization": f"Bearer {token}"})

    def phone(self, digits: str) -> str:
        """A number of nobody else's; its last digits decide what becomes of a prompt."""
        return f"2547{next(_numbers):04d}{digits}"

    def seller(self) -> Person:
        with self._lock:
            if self._seller is None:
                seller = self.sign_up("seller", f"254199{next(_numbers):06d}")
                self.promote(seller, "seller")
                self._seller = seller
            return self._seller

    def promote(self, person: Person, role: str) -> None:
        with self.database.transaction() as session:
            session.execute(update(User).where(User.id == person.id).values(role=role))

    def prepare(self, digits: str = "5678", *, name: str = "buyer", stock: int = STOCK) -> Purchase:
        """A new buyer, whose phone ends in ``digits``, orders three of a new product."""
        product_id = self.offer(stock)
        buyer = self.sign_up(name, self.phone(digits))
        return Purchase(name, buyer, product_id, self.order(buyer, product_id))

    def offer(self, stock: int = STOCK) -> int:
        new = {"name": f"Kiondo {next(_numbers)}", "price": PRICE, "stock": stock}
        offered = self.call("POST", "/api/items", self.seller(), json=new)
        assert offered.status_code == 201, offered.text
        product_id: int = offered.json()["id"]
        return product_id

    def order(self, buyer: Person, product_id: int, quantity: int = QUANTITY) -> int:
        ask = {"products": [{"product_id": product_id, "quantity": quantity}]}
        placed = self.call("POST", "/api/orders", buyer, json=ask)
        assert placed.status_code == 201, placed.text
        order_id: int = placed.json()["id"]
        return order_id

    def push(self, purchase: Purchase, **kwargs: Any) -> httpx2.Response:
        """Ask for the prompt, and note which transaction stands for it, also when it is refused."""
        ask = {"order_id": purchase.order_id, **kwargs.pop("more", {})}
        answer = self.call("POST", "/api/mpesa/stkpush", purchase.buyer, json=ask, **kwargs)
        purchase.push = answer
        body = answer.json()
        purchase.transaction_id = body.get("transaction_id", body.get("id"))
        return answer

    def buy(self, digits: str = "5678", **kwargs: Any) -> Purchase:
        """Order and be asked to pay; nobody has paid yet."""
        purchase = self.prepare(digits, **kwargs)
        answer = self.push(purchase)
        assert answer.status_code == 202, answer.text
        return purchase

    def transaction(self, purchase: Purchase) -> dict[str, Any]:
        answer = self.call("GET", f"/api/transactions/{purchase.transaction_id}", purchase.buyer)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def read_order(self, purchase: Purchase) -> dict[str, Any]:
        answer = self.call("GET", f"/api/orders/{purchase.order_id}", purchase.buyer)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def wait_for_transaction(self, purchase: Purchase, *statuses: str) -> None:
        wait_until(
            lambda: self.payment_status(purchase) in statuses,
            f"the transaction of {purchase.name} is {' or '.join(statuses)}",
        )

    def wait_for_order(self, purchase: Purchase, status: str) -> None:
        def is_there() -> bool:
            with self.reading() as session:
                return session.get_one(Order, purchase.order_id).status == status

        wait_until(is_there, f"the order of {purchase.name} is {status}")

    # --- the database, beside the shop ---

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self.database.reading() as session:
            yield session

    def payment_status(self, purchase: Purchase) -> str:
        with self.reading() as session:
            return session.get_one(Payment, purchase.transaction_id).status

    def statuses(self) -> dict[int, str]:
        """Every payment's, by its id."""
        with self.reading() as session:
            rows = session.execute(select(Payment.id, Payment.status))
            return {row.id: row.status for row in rows}

    def unread_messages(self) -> list[int]:
        with self.reading() as session:
            return list(
                session.scalars(select(InboxMessage.id).where(InboxMessage.processed_at.is_(None)))
            )

    def payments_of(self, order_id: int) -> list[Payment]:
        with self.reading() as session:
            statement = select(Payment).where(Payment.order_id == order_id).order_by(Payment.id)
            return list(session.scalars(statement))

    def ledger_of(self, order_id: int) -> dict[str, int]:
        with self.reading() as session:
            sums = session.execute(
                select(LedgerEntry.account, func.sum(LedgerEntry.amount_cents))
                .where(LedgerEntry.order_id == order_id)
                .group_by(LedgerEntry.account)
            )
            return {account: int(cents) for account, cents in sums}

    def tasks_of(self, order_id: int) -> list[str]:
        with self.reading() as session:
            statement = select(Task.kind).where(Task.order_id == order_id).order_by(Task.id)
            return list(session.scalars(statement))

    def facts(self, purchase: Purchase) -> Facts:
        product = self.call("GET", f"/api/items/{purchase.product_id}")
        assert product.status_code == 200, product.text
        with self.reading() as session:
            shelf = session.get_one(Product, purchase.product_id)
            payment = session.get_one(Payment, purchase.transaction_id)
            reservation = session.scalars(
                select(Reservation.state).where(Reservation.order_id == purchase.order_id)
            ).one()
            notifications = session.scalars(
                select(Notification.kind)
                .where(Notification.user_id == purchase.buyer.id)
                .order_by(Notification.id)
            )
            inbox = session.scalars(
                select(InboxMessage.outcome)
                .where(InboxMessage.payment_id == purchase.transaction_id)
                .order_by(InboxMessage.id)
            )
            return Facts(
                transaction=self.transaction(purchase),
                order=self.read_order(purchase),
                available=product.json()["stock"],
                on_hand=shelf.on_hand,
                reserved=shelf.reserved,
                reservation=reservation,
                ledger=self.ledger_of(purchase.order_id),
                tasks=self.tasks_of(purchase.order_id),
                notifications=list(notifications),
                payment={
                    "amount_verified": payment.amount_verified,
                    "review_reason": payment.review_reason,
                    "next_check_at": payment.next_check_at,
                    "check_count": payment.check_count,
                },
                inbox=list(inbox),
            )

    def let_time_run_out(self, purchase: Purchase) -> None:
        """Put an order's end into the past; the worker finds it."""
        with self.database.transaction() as session:
            session.execute(
                update(Order)
                .where(Order.id == purchase.order_id)
                .values(expires_at=Order.created_at)
            )

    # --- the books ---

    def check_books(
        self,
        *,
        unbooked: Collection[Purchase] = (),
        disputed: Collection[Purchase] = (),
        by_command: bool = False,
    ) -> None:
        """The audit finds nothing, and Safaricom's ledger and ours agree shilling by shilling.

        Money of ``unbooked`` moved and no road told us; that of ``disputed`` was reported and
        never moved. A task for a person stands in for the difference.
        """
        with self.reading() as session:
            assert audit(session, utc_now()) == []
        if by_command:
            command = self.manage("audit")
            assert (command.returncode, command.stderr) == (0, "")
            assert command.stdout == "All 8 invariants of money and stock hold.\n"
        with self.reading() as session:
            comparison = compare(
                read_movements(self.money_moved(), read_order_numbers(session)),
                read_bookings(session),
                read_attempts(session),
                read_matters(session),
            )
        assert (comparison.unexplained, comparison.differences) == ([], {})
        assert {one.phone for one in comparison.held} == {one.buyer.phone for one in unbooked}
        contradicted = {one.about.id for one in comparison.disputed}
        assert contradicted == {one.transaction_id for one in disputed}


@dataclass(frozen=True)
class DoomedWeb:
    program: Program
    point: str
    url: str

    def wait_for_death(self) -> int:
        """Its exit code."""
        found = wait_until(
            lambda: re.search(rf"^died {self.point} (-?\d+)$", self.program.log(), re.MULTILINE),
            f"the web server dies {self.point}",
        )
        return int(found[1])


def make_database(kind: str, name: str, folder: Path, sqlite_template: Path, uri: str) -> str:
    """A migrated database of its own; answers its URL."""
    if kind == "sqlite":
        copy = folder / "sokoni.db"
        shutil.copy(sqlite_template, copy)
        with sqlite3.connect(copy) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        return f"sqlite:///{copy}"
    url = create_database(uri, name)
    database = Database(url)
    schema_migrations.upgrade(database)
    database.dispose()
    return url
