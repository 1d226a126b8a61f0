"""What happens to the machines while people buy, and what has to hold meanwhile."""

import itertools
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import redis
from sqlalchemy import func, select

from app.cli.children import python
from app.models import InboxMessage, LedgerEvent, Order
from drill.disturbances import Disturbance
from drill.hosts.callers import ManyHosts
from drill.hosts.holder import HOLDS, LET_GO
from drill.hosts.network import Host
from drill.hosts.town import Town
from drill.hosts.visitor import Visitor
from drill.processes import ROOT, Program, children_of, wait_until
from drill.stage import Stage
from drill.wrongs import Row

LIMITS, LOCKS = "limits not held by all hosts", "rows that a lost host held"
RESTARTS, ANSWERS = "processes that started anew", "hosts without 503 and when"
PROOFS = (LIMITS, LOCKS, RESTARTS, ANSWERS)
_OK = 200


class Troubles:
    """Each is one disturbance; what does not hold is in ``findings`` by the name of its check."""

    def __init__(self, town: Town, callers: ManyHosts) -> None:
        self.findings: dict[str, list[Row]] = defaultdict(list)
        self._town = town
        self._visitor = Visitor(callers)
        self._numbers = itertools.count(1)

    def plan(self, *, is_short: bool) -> list[Disturbance]:
        """In the order in which they come."""
        told: list[tuple[str, Callable[[Random], None]]] = [
            ("limits tried at both web hosts", self._try_limits),
            ("web and worker host cut off", self._cut_off),
            ("web and worker host killed", self._kill),
            ("Redis cut off, then killed", self._lose_redis),
            ("PostgreSQL stopped and started", self._restart_database),
        ]
        if not is_short:
            told.append(("PostgreSQL cut off", self._cut_off_database))
        return [Disturbance(name, _of_any_stage(happen)) for name, happen in told]

    def _try_limits(self, _dice: Random) -> None:
        self._hold(LIMITS, self._visitor.is_limited_everywhere, "limits are counted together")

    # --- hosts ---

    def _cut_off(self, dice: Random) -> None:
        """In the middle of a transaction that holds an order's row; all recover by themselves."""
        town, visitor = self._town, self._visitor
        web, other = dice.sample(town.web_hosts, k=2)
        gone = (web, dice.choice(town.work_hosts))
        with self._nothing_started_anew():
            token, order_id = visitor.order(web.name, town.database)
            holder = self._hold_row(web, order_id)
            try:
                for host in gone:
                    host.cut()
                holder.signal(signal.SIGUSR1)
                answer = visitor.cancel(other.name, token, order_id)
                if answer.status != _OK:
                    self._find(LOCKS, f"order {order_id}", f"cannot be cancelled: {answer}")
                self._wait_for_trade()
                wait_until(lambda: not holder.is_alive(), "the host that is cut off notices it")
                if LET_GO not in holder.log():
                    self._find(LOCKS, f"order {order_id}", holder.tail())
            finally:
                for host in gone:
                    host.mend()
                holder.clear_away()
            self._wait_until_served()

    def _kill(self, dice: Random) -> None:
        """Without power, and then with power before there is a network again."""
        town = self._town
        gone = (dice.choice(town.web_hosts), dice.choice(town.work_hosts))
        for host in gone:
            town.put_out(host)
        try:
            self._wait_for_trade()
            for host in gone:
                town.switch_on(host)
        finally:
            for host in gone:
                host.mend()
        for host in gone:
            town.supervisor.wait_until_ready(town.posts[host.name])
        self._wait_until_served()

    def _hold_row(self, host: Host, order_id: int) -> Program:
        town = self._town
        command = python("-m", "drill.hosts.holder", town.database_url, str(order_id))
        environment = {"PYTHONPATH": str(ROOT), "PATH": town.path}
        name = f"holder-{next(self._numbers)}"
        holder = Program(name, host.command(command), town.folder, environment)
        wait_until(lambda: HOLDS in holder.log(), "a row is held")
        return holder

    # --- what all hosts share ---

    def _lose_redis(self, _dice: Random) -> None:
        """It swallows what it is sent, and then refuses; limits are counted apart meanwhile."""
        host = self._town.redis_host
        with self._nothing_started_anew():
            with self._town.held(host) as post:
                host.cut()
                try:
                    self._wait_for_trade()
                    post.kill()
                finally:
                    host.mend()
                self._hold(LIMITS, self._visitor.is_limited_apart, "limits are counted apart")
                self._wait_for_trade()
            wait_until(lambda: post.is_ready, "Redis is back")
            self._hold(LIMITS, self._visitor.is_limited_everywhere, "they are counted together")
            wait_until(self._is_queue_read, "the workers wait at their queue again")

    def _is_queue_read(self) -> bool:
        try:
            found: Any = self._town.redis.info("clients")
        except redis.RedisError:
            return False
        return bool(found["blocked_clients"])

    def _restart_database(self, _dice: Random) -> None:
        with self._nothing_started_anew():
            with self._town.held(self._town.database_host) as post:
                post.kill(signal.SIGINT)
                wait_until(lambda: not post.program.is_alive(), "PostgreSQL has stopped")
                self._wait_until_put_off()
            wait_until(lambda: post.is_ready, "PostgreSQL is back")
            self._wait_until_served()

    def _cut_off_database(self, _dice: Random) -> None:
        """It swallows what it is sent: whoever waits for it is told so in the end."""
        host = self._town.database_host
        with self._nothing_started_anew():
            host.cut()
            try:
                self._wait_until_put_off()
            finally:
                host.mend()
            self._wait_until_served()

    # --- what all of them need ---

    def _wait_for_trade(self) -> None:
        """Until orders have been placed, reports of payments received and payments booked."""
        tables: Sequence[type[Order | InboxMessage | LedgerEvent]] = (Order, LedgerEvent)
        if self._town.has_front:
            tables = (*tables, InboxMessage)
        counts = (select(func.count()).select_from(one).scalar_subquery() for one in tables)
        count_all = select(*counts)

        def read() -> list[int]:
            with self._town.database.reading() as session:
                return list(session.execute(count_all).one())

        before = read()
        wait_until(
            lambda: all(new > old for new, old in zip(read(), before, strict=True)),
            "the shop goes on selling",
        )

    def _wait_until_put_off(self) -> None:
        """By every web host, with the time after which to come again."""
        for host in self._visitor.hosts:
            self._hold(ANSWERS, partial(self._visitor.is_put_off, host), f"{host} says when")

    def _wait_until_served(self) -> None:
        """By every web host, from the database."""
        for host in self._visitor.hosts:
            wait_until(partial(self._visitor.is_served, host), f"{host} serves again")

    @contextmanager
    def _nothing_started_anew(self) -> Iterator[None]:
        before = self._processes()
        yield
        for name, pids in self._processes().items():
            if pids != before[name]:
                self._find(RESTARTS, name, f"was {before[name]}, is {pids}")

    def _processes(self) -> dict[str, list[int]]:
        hosts = self._town.web_hosts + self._town.work_hosts
        mains = {host.name: self._town.posts[host.name].program.pid for host in hosts}
        return {name: [pid, *sorted(children_of(pid))] for name, pid in mains.items()}

    def _hold(self, check: str, condition: Callable[[], bool], what: str) -> None:
        """It need not hold at once: a machine that is starved answers late, or not at all."""
        try:
            wait_until(condition, what)
        except AssertionError as error:
            self._find(check, what, str(error))

    def _find(self, check: str, subject: str, detail: str) -> None:
        self.findings[check].append(Row(subject, detail))


def _of_any_stage(happen: Callable[[Random], None]) -> Callable[[Stage, Random], None]:
    return lambda _stage, dice: happen(dice)
