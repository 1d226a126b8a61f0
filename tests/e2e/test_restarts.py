"""PostgreSQL and the web server's main process, killed and restarted under load.

The server is this file's own, with all its safety on. What was answered 201 is there; what was
refused, or never answered, is done once by sending it again with its key.
"""

import os
import signal
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
from sqlalchemy import func, select

from app import schema_migrations
from app.db import Database
from app.models import Order
from app.services.audit import audit
from app.utils.clock import utc_now
from drill.postgres import Postgres
from drill.processes import Program, children_of, wait_until
from tests.e2e.shop import Shop

pytestmark = pytest.mark.timeout(300)
BUYERS = 4
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


@dataclass
class House:
    """A shop on a server of its own, which can be taken down under it."""

    shop: Shop
    postgres: Postgres
    server: Program
    starts: int = 1

    def stop_server(self) -> None:
        self.server.clear_away()

    def start_server(self) -> None:
        self.stop_server()
        self.starts += 1
        self.server = Program(
            f"postgres-{self.starts}",
            self.postgres.command,
            self.shop.folder,
            os.environ,
            user=self.postgres.user,
        )
        try:
            wait_until(lambda: self.postgres.is_ready(self.server), "PostgreSQL is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.server.tail()}") from None


@pytest.fixture(scope="module")
def folder():
    """Not among pytest's own: those it shuts for the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="sokoni-restarts-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def house(folder):
    postgres = Postgres(folder)
    with ExitStack() as closing:
        first = Program("postgres-1", postgres.command, folder, os.environ, user=postgres.user)
        closing.callback(first.clear_away)
        wait_until(lambda: postgres.is_ready(first), "PostgreSQL is ready")
        database = Database(postgres.url)
        schema_migrations.upgrade(database)
        database.dispose()
        shop = Shop(folder, postgres.url, WEB_WORKERS="2", MAX_OPEN_ORDERS="100000")
        shop.simulator_url = "http://127.0.0.1:9"  # nobody pays here
        made = House(closing.enter_context(shop), postgres, first)
        closing.callback(made.stop_server)
        shop.start_web()
        yield made


@dataclass
class Load:
    """Buyers who order without a pause, each order with a key of its own."""

    shop: Shop
    product_id: int
    answers: Counter = field(default_factory=Counter)
    hints: set = field(default_factory=set)
    keys: list = field(default_factory=list)
    placed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list = field(default_factory=list)

    def __enter__(self):
        for number in range(BUYERS):
            buyer = self.shop.sign_up("buyer", self.shop.phone("5678"))
            thread = threading.Thread(target=self._buy, args=(buyer, number))
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _buy(self, buyer, number: int) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            key = f"{number}-{turn}"
            answer = order(self.shop, buyer, self.product_id, key)
            with self._lock:
                self.keys.append((buyer, key))
                self.answers[answer.status_code if answer else "no answer"] += 1
                if answer is not None and answer.status_code == 503:
                    self.hints.add(answer.headers.get("Retry-After"))
                self.placed += bool(answer) and answer.status_code == 201
            self._stop.wait(0.1)  # each of these orders is asked for again in the end

    def goes_on(self) -> None:
        """Until some more orders were placed from here on."""
        wanted = self.placed + 2 * BUYERS
        wait_until(lambda: self.placed >= wanted, "orders are placed")


def order(shop: Shop, buyer, product_id: int, key: str) -> httpx2.Response | None:
    ask = {"products": [{"product_id": product_id, "quantity": 1}]}
    headers = {**buyer.headers, "Idempotency-Key": key}
    with suppress(httpx2.TransportError):
        return shop.http.post(shop.web_url + "/api/orders", json=ask, headers=headers)
    return None


def nothing_is_lost_or_doubled(house: House, load: Load) -> None:
    """Every key, sent again, has its one order."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda one: order(house.shop, one[0], load.product_id, one[1]), load.keys)
        )
    assert {answer.status_code for answer in answers} == {201}
    numbers = {answer.json()["number"] for answer in answers}
    assert len(numbers) == len(load.keys)
    with house.shop.reading() as session:
        placed = session.scalar(select(func.count(Order.id)).where(Order.number.in_(numbers)))
        assert placed == len(load.keys)
        assert audit(session, utc_now()) == []


@pytest.mark.fault("F34")
@pytest.mark.parametrize("how", [FAST, IMMEDIATE], ids=["fast", "immediate"])
def test_postgresql_restarts_and_the_shop_is_well_again_by_itself(house, how):
    with Load(house.shop, house.shop.offer(1_000_000)) as load:
        load.goes_on()
        house.server.signal(how)
        house.server.wait()
        refused = load.answers[503]
        wait_until(lambda: load.answers[503] > refused, "orders are refused")
        house.start_server()
        load.goes_on()
    assert load.answers.keys() <= {201, 503}, load.answers
    assert load.hints <= {"2", "5"}
    assert house.shop.web.is_alive()
    nothing_is_lost_or_doubled(house, load)


@pytest.mark.fault("F35")
def test_a_process_of_postgresql_is_killed_and_the_shop_is_well_again_by_itself(house):
    with Load(house.shop, house.shop.offer(1_000_000)) as load:
        load.goes_on()
        with suppress(psycopg.Error):
            os.kill(house.postgres.find_backends()[0], signal.SIGKILL)
        load.goes_on()
    assert load.answers.keys() <= {201, 503}, load.answers
    assert house.server.is_alive()
    nothing_is_lost_or_doubled(house, load)


@pytest.mark.fault("F8")
def test_the_web_servers_main_process_is_killed_and_a_new_one_takes_its_place(house):
    shop = house.shop
    with Load(shop, shop.offer(1_000_000)) as load:
        load.goes_on()
        old = shop.web
        orphans = children_of(old.pid)
        os.kill(old.pid, signal.SIGKILL)
        old.process.wait()
        wait_until(lambda: not any(_lives(pid) for pid in orphans), "its workers are gone")
        shop.start_web()
        load.goes_on()
    assert load.answers.keys() <= {201, "no answer"}, load.answers
    nothing_is_lost_or_doubled(house, load)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
