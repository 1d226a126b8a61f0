"""More than the shop can carry: what is served, how late, and who is sent away.

    make overload            or: python -m bench.overload --rounds 6 --sqlite

First it measures what the shop can carry: closed loops in which every connection asks again as
soon as it is answered, of each kind alone and of all together. Then arrivals come at once, twice
and four times that rate, whether or not the shop keeps up (an open loop), each timed from the
moment when it was due. Callbacks of Safaricom come beside them all the time.

The shop and its database have one half of the processors, who asks has the other, so that asking
takes nothing from answering. How much of the capacity is used is told in processor time, for others
use the machine as well, and because readers are sent away first: what was served, each at what its
kind costs alone, by the time that the shop got. The rest went into sending away. Both loops take
turns of a few seconds; the open loop's share is held against that of the closed loops beside it.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx2
import psutil
from sqlalchemy import update

from app import schema_migrations
from app.cli.children import python
from app.db import Database
from app.models import Payment, User
from app.utils.callback_secret import CallbackSecret
from app.utils.clock import utc_now
from drill.environment import MANAGE, shop_environment
from drill.postgres import Postgres
from drill.processes import Program, free_port, wait_until

MOST_CONNECTIONS = 400
CONNECTIONS = 6
BUYERS, PRODUCTS, REPORTED = 16, 200, 24
READERS_OF_TEN = 8
REPORTS_PER_SECOND = 10.0
TWICE = 2
GOAL_P99_MS, GOAL_USED = 500.0, 0.95
_PASSWORD = "Correct horse 12"


@dataclass(frozen=True, slots=True)
class Ask:
    kind: str
    payload: bytes


@dataclass
class Tally:
    """What became of those that were sent. Times are of what was served, in milliseconds."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    offered: int = 0
    served: Counter[str] = field(default_factory=Counter)
    sent_away: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    times_away: list[float] = field(default_factory=list)
    report_times: list[float] = field(default_factory=list)

    def note(self, kind: str, status: int, milliseconds: float) -> None:
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.sent_away[kind] += 1
            self.times_away.append(milliseconds)
        elif HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            self.served[kind] += 1
            (self.report_times if kind == "report" else self.times).append(milliseconds)
        else:
            self.failed[f"{kind} {status}"] += 1

    def add(self, other: "Tally") -> None:
        """Take another turn of the same load in."""
        self.seconds += other.seconds
        self.processor_seconds += other.processor_seconds
        self.offered += other.offered
        for mine, theirs in (
            (self.served, other.served),
            (self.sent_away, other.sent_away),
            (self.failed, other.failed),
        ):
            mine.update(theirs)
        self.times += other.times
        self.times_away += other.times_away
        self.report_times += other.report_times

    @property
    def done(self) -> int:
        return self.served["read"] + self.served["order"]

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    def useful(self, costs: "Costs") -> float:
        """The share of the shop's processor time that what was served would have taken alone."""
        return (
            sum(self.served[kind] * cost for kind, cost in costs.items()) / self.processor_seconds
        )


Costs = dict[str, float]
"""Processor seconds of one request of each kind."""


class Connection(asyncio.Protocol):
    """One connection of HTTP/1.1 that is kept open; one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted: int | None = None
        self._status = 0
        self.answer: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.is_open = transport, True

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        self._end(0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._wanted is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._status = int(head[9:12])
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._wanted = end + 4 + int(length or 0)
        if len(self._buffer) >= self._wanted:
            del self._buffer[: self._wanted]
            self._wanted = None
            self._end(self._status)

    def _end(self, status: int) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(status)

    async def ask(self, payload: bytes) -> int:
        """The status of the answer; 0 where the connection ended without one."""
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(payload)
        return await self.answer


class Crowd:
    """Who asks. Connections are kept and used again, as a proxy in front of the shop does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []
        self._made = 0

    async def send(self, ask: Ask, due: float, tally: Tally) -> None:
        connection = await self._connection()
        if connection is None:
            tally.failed[f"{ask.kind} not sent"] += 1
            return
        status = await connection.ask(ask.payload)
        tally.note(ask.kind, status, (time.perf_counter() - due) * 1000)
        if connection.is_open:
            self._idle.append(connection)
        else:
            self._made -= 1

    async def close(self) -> None:
        """Once every answer is here."""
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn

    async def _connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            self._made -= 1
        if self._made >= MOST_CONNECTIONS:
            return None
        self._made += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, "127.0.0.1", self._port
            )
        except OSError:
            self._made -= 1
            return None
        return connection


class Mix:
    """Mostly readers, some who order, and Safaricom."""

    def __init__(
        self, host: str, tokens: list[str], products: list[int], reports: list[Ask]
    ) -> None:
        self._random = random.Random(1)
        self._host = host
        self._tokens = tokens
        self._products = products
        self._reports = reports

    def one(self) -> Ask:
        return self.read() if self._random.randrange(10) < READERS_OF_TEN else self.order()

    def read(self) -> Ask:
        draw = self._random
        one = f"/{draw.choice(self._products)}" if draw.randrange(2) else "?limit=20"
        return Ask("read", request(self._host, "GET", f"/api/items{one}"))

    def order(self) -> Ask:
        draw = self._random
        lines = [{"product_id": one, "quantity": 1} for one in draw.sample(self._products, 2)]
        body = json.dumps({"products": lines})
        token = draw.choice(self._tokens)
        return Ask("order", request(self._host, "POST", "/api/orders", body, token))

    def report(self) -> Ask:
        return self._random.choice(self._reports)

    def pause(self, rate: float) -> float:
        return self._random.expovariate(rate)


def request(host: str, method: str, path: str, body: str = "", token: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return (head + "\r\n" + body).encode()


async def closed_loop(
    port: int, make: Callable[[], Ask], seconds: float, beside: Mix | None = None
) -> Tally:
    """What can be carried: a few connections more than places, none of which ever pauses."""
    crowd, tally = Crowd(port), Tally()
    began = time.perf_counter()

    async def go_on() -> None:
        while time.perf_counter() - began < seconds:
            tally.offered += 1
            await crowd.send(make(), time.perf_counter(), tally)

    await asyncio.gather(
        *[go_on() for _ in range(CONNECTIONS)],
        *([report_now_and_then(crowd, beside, tally, began + seconds)] if beside else []),
    )
    tally.seconds = time.perf_counter() - began
    await crowd.close()
    return tally


async def open_loop(port: int, mix: Mix, rate: float, seconds: float) -> Tally:
    """So many a second, come what may."""
    crowd, tally = Crowd(port), Tally()
    began = due = time.perf_counter()
    reporting = asyncio.create_task(report_now_and_then(crowd, mix, tally, began + seconds))
    sent: set[asyncio.Task[None]] = set()
    while due < began + seconds:
        now = time.perf_counter()
        if due > now:
            await asyncio.sleep(due - now)
        tally.offered += 1
        task = asyncio.create_task(crowd.send(mix.one(), due, tally))
        sent.add(task)
        task.add_done_callback(sent.discard)
        due += mix.pause(rate)
    tally.seconds = time.perf_counter() - began
    await asyncio.gather(*sent, reporting)
    await crowd.close()
    return tally


async def report_now_and_then(crowd: Crowd, mix: Mix, tally: Tally, until: float) -> None:
    due = time.perf_counter()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await crowd.send(mix.report(), time.perf_counter(), tally)
        due += 1 / REPORTS_PER_SECOND


@dataclass
class House:
    port: int
    web: Program
    database: Database
    programs: list[Program]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def processor_seconds(self) -> float:
        """What the shop and its database have used so far."""
        used = 0.0
        for program in self.programs:
            own = psutil.Process(program.pid)
            for one in [own, *own.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    used += times.user + times.system + times.children_user + times.children_system
        return used

    def measure(self, loop: Coroutine[None, None, Tally]) -> Tally:
        before = self.processor_seconds()
        tally = asyncio.run(loop)
        tally.processor_seconds = self.processor_seconds() - before
        return tally


def open_house(closing: ExitStack, *, sqlite: bool, settings: dict[str, str]) -> House:
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="sokoni-overload-")))
    programs = []
    if sqlite:
        url = f"sqlite:///{folder}/shop.db"
    else:
        postgres = Postgres(folder)
        server = Program("postgres", postgres.command, folder, {"LC_ALL": "C"}, user=postgres.user)
        programs.append(server)
        closing.callback(server.clear_away)
        wait_until(lambda: postgres.is_ready(server), "PostgreSQL is ready")
        url = postgres.url
    database = Database(url)
    closing.callback(database.dispose)
    schema_migrations.upgrade(database)
    port = free_port()
    environment = {
        **shop_environment(
            database_url=url,
            queue_url=f"sqlite:///{folder}/queue.db",
            port=port,
            public_url=f"http://127.0.0.1:{port}",
            mpesa_base_url="http://127.0.0.1:9",
        ),
        "WEB_WORKERS": "1",
        "MAX_OPEN_ORDERS": "100000000",
        "MEDIA_URL": f"{folder}/media",
    }
    for hasty in ("WEB_QUEUE", "WEB_QUEUE_SECONDS"):
        del environment[hasty]  # here the shop's own defaults are what is tried
    web = Program("web", python(MANAGE, "web"), folder, {**environment, **settings})
    closing.callback(web.clear_away)
    house = House(port, web, database, [*programs, web])
    wait_until(lambda: answers(house), "the web server answers")
    return house


def answers(house: House) -> bool:
    try:
        return (
            httpx2.get(f"http://{house.host}/healthz", trust_env=False).status_code == HTTPStatus.OK
        )
    except httpx2.TransportError:
        return False


def furnish(house: House) -> Mix:
    """Goods, buyers, and payments for Safaricom to report on."""
    with httpx2.Client(base_url=f"http://{house.host}", trust_env=False, timeout=60) as http:
        seller = sign_up(http, "seller", 0)
        with house.database.transaction() as session:
            session.execute(update(User).where(User.username == "seller").values(role="seller"))
        products = [
            http.post(
                "/api/items",
                json={"name": f"Kiondo {number}", "price": 10 + number, "stock": 10_000_000},
                headers={"Authorization": f"Bearer {seller}"},
            ).json()["id"]
            for number in range(PRODUCTS)
        ]
        tokens = [sign_up(http, f"buyer{number}", number + 1) for number in range(BUYERS)]
        reports = [pay_for_one(house, http, tokens[0], products[0]) for _ in range(REPORTED)]
    return Mix(house.host, tokens, products, reports)


def sign_up(http: httpx2.Client, name: str, number: int) -> str:
    new = {
        "username": name,
        "email": f"{name}@shop.example",
        "password": _PASSWORD,
        "phone_number": f"25471200{number:04d}",
    }
    http.post("/api/register", json=new).raise_for_status()
    login = http.post("/api/login", json={"username": name, "password": _PASSWORD})
    token: str = login.raise_for_status().json()["access_token"]
    return token


def pay_for_one(house: House, http: httpx2.Client, token: str, product_id: int) -> Ask:
    """An order with a prompt whose secret we know: Safaricom cannot be reached here."""
    headers = {"Authorization": f"Bearer {token}"}
    ask = {"products": [{"product_id": product_id, "quantity": 1}]}
    order = http.post("/api/orders", json=ask, headers=headers).raise_for_status().json()
    secret = CallbackSecret.new()
    with house.database.transaction() as session:
        payment = Payment(
            order_id=order["id"],
            user_id=order["user_id"],
            msisdn="254712000001",
            amount_cents=round(order["total_price"] * 100),
            callback_secret_hash=secret.hash,
            created_at=utc_now(),
            updated_at=utc_now(),
        )
        session.add(payment)
        session.flush()
        address = f"/api/pay/cb/{payment.id}.{secret.value}"
    body = {
        "Body": {
            "stkCallback": {
                "MerchantRequestID": f"m-{order['id']}",
                "CheckoutRequestID": f"ws_CO_{order['id']}",
                "ResultCode": 1032,
                "ResultDesc": "Request cancelled by user",
            }
        }
    }
    return Ask("report", request(house.host, "POST", address, json.dumps(body)))


def percentile(times: Iterable[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def measure_costs(house: House, mix: Mix, seconds: float) -> Costs:
    kinds = {"read": mix.read, "order": mix.order, "report": mix.report}
    costs = {}
    for kind, make in kinds.items():
        tally = house.measure(closed_loop(house.port, make, seconds))
        costs[kind] = tally.processor_seconds / tally.served[kind]
    return costs


def take_turns(
    house: House, mix: Mix, times: int, asked: argparse.Namespace
) -> tuple[Tally, Tally]:
    """What can be carried, and ``times`` that, each in turn: whatever else the machine does then
    comes upon both.
    """
    carried, pressed = Tally(), Tally()
    for _ in range(asked.rounds):
        turn = house.measure(closed_loop(house.port, mix.one, asked.seconds, mix))
        carried.add(turn)
        pressed.add(house.measure(open_loop(house.port, mix, turn.rate * times, asked.seconds)))
    return carried, pressed


def line(name: str, tally: Tally, costs: Costs) -> str:
    refused = tally.sent_away["report"] + sum(
        count for what, count in tally.failed.items() if what.startswith("report")
    )
    return (
        f"| {name} | {tally.offered / tally.seconds:.0f} | {tally.rate:.0f}"
        f" | {tally.processor_seconds / tally.seconds:.2f} | {tally.useful(costs):.0%}"
        f" | {percentile(tally.times, 0.5):.0f}"
        f" | {percentile(tally.times, 0.99):.0f} | {tally.sent_away['read']}"
        f" | {tally.sent_away['order']} | {percentile(tally.times_away, 0.5):.0f}"
        f" | {sum(tally.failed.values())} | {tally.served['report']} / {refused}"
        f" | {percentile(tally.report_times, 0.99):.0f} |"
    )


HEAD = """\
| load | offered/s | served/s | processors used | of it useful | p50 ms \
| p99 ms | readers sent away | orders sent away | p50 ms of those | failed \
| reports kept / refused | p99 ms of those |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def share_processors() -> tuple[set[int], set[int]] | None:
    """For the shop, and for who asks; None where there is only one processor."""
    mine = sorted(os.sched_getaffinity(0))
    half = len(mine) // 2
    return (set(mine[:half]), set(mine[half:])) if half else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each load")
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    verdict = ""
    settings = dict(pair.split("=", 1) for pair in asked.set)
    shares = share_processors()
    with ExitStack() as closing:
        if shares:
            os.sched_setaffinity(0, shares[0])  # what is started from here on inherits it
        house = open_house(closing, sqlite=asked.sqlite, settings=settings)
        mix = furnish(house)
        if shares:
            os.sched_setaffinity(0, shares[1])
        house.measure(closed_loop(house.port, mix.one, 2, mix))  # warm
        costs = measure_costs(house, mix, asked.seconds)
        print(", ".join(f"one {kind}: {cost * 1000:.2f} ms" for kind, cost in costs.items()))
        print(HEAD, flush=True)
        is_met = True
        for times in (1, TWICE, 4):
            beside, tally = take_turns(house, mix, times, asked)
            print(line("closed loop", beside, costs))
            print(line(f"{times} times", tally, costs), flush=True)
            if tally.failed:
                print("Failed:", dict(tally.failed))
            is_met &= tally.sent_away["report"] == 0 and not tally.failed
            if times == TWICE:
                used = tally.useful(costs) / beside.useful(costs)
                p99 = percentile(tally.times, 0.99)
                is_met &= p99 <= GOAL_P99_MS and used >= GOAL_USED
                verdict = f"At twice the load {used:.0%} of the capacity is used, p99 {p99:.0f} ms"
        assert house.web.is_alive()
    print(f"{verdict}: {'met' if is_met else 'not met'}.")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
