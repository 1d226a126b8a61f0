"""What happens to the machines while people buy, and what has to hold meanwhile."""

import itertools
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import redis
from sqlalchemy import func, select

from app.cli.children import python
from app.models import InboxMessage, LedgerEvent, Order, Product
from drill.caller import Answer, NoAnswer
from drill.disturbances import Disturbance
from drill.hosts.callers import ManyHosts
from drill.hosts.holder import HOLDS, LET_GO
from drill.hosts.network import Host
from drill.hosts.town import TRIES, Town
from drill.market import PASSWORD
from drill.processes import ROOT, Program, children_of, wait_until
from drill.stage import Stage
from drill.wrongs import Row

_OK, _CREATED, _WRONG, _TOO_MANY, _AWAY = 200, 201, 401, 429, 503
_PLENTY = 1000

LIMITS, LOCKS = "limits not held by all hosts", "rows that a lost host held"
RESTARTS, ANSWERS = "processes that started anew", "answers beside 200 and 503"
PROOFS = (LIMITS, LOCKS, RESTARTS, ANSWERS)


class Troubles:
    """Each is one disturbance; what does not hold is in ``findings`` by the name of its check."""

    def __init__(self, town: Town, callers: ManyHosts) -> None:
        self.findings: dict[str, list[Row]] = defaultdict(list)
        self._town = town
        self._callers = callers.callers
        self._numbers = itertools.count(1)

    def all(self) -> list[Disturbance]:
        """In the order in which they come."""
        told: tuple[tuple[str, Callable[[Random], None]], ...] = (
            ("limits tried at both web hosts", self._try_limits),
            ("web and worker host cut off", self._cut_off),
            ("web and worker host killed", self._kill),
            ("Redis cut off, then killed", self._lose_redis),
            ("PostgreSQL stopped and started", self._restart_database),
        )
        return [Disturbance(name, _of_any_stage(happen)) for name, happen in told]

    # --- limits ---

    def _try_limits(self, _dice: Random) -> None:
        if not self._is_limited_everywhere():
            self._find(LIMITS, "Redis is up", "what was spent at one host is not at the other")

    def _is_limited_everywhere(self) -> bool:
        """Whether the tries that one host counts are not to be had again at the other."""
        first, other = self._callers
        account = self._new_account()
        spent = [self._guess(first, account) for _ in range(TRIES)]
        return spent == [_WRONG] * TRIES and self._guess(other, account) == _TOO_MANY

    def _is_limited_somewhere(self) -> bool:
        """While nobody knows what another counts: each host lets through its own and no more."""
        account = self._new_account()
        return all(
            [self._guess(name, account) for _ in range(TRIES + 1)] == [_WRONG] * TRIES + [_TOO_MANY]
            for name in self._callers
        )

    def _guess(self, name: str, account: str) -> int:
        wrong = {"username": account, "password": "Wrong horse 12"}
        return self._ask(name, "POST", "/api/login", wrong).status

    def _new_account(self) -> str:
        return f"guessed{next(self._numbers)}"

    # --- hosts ---

    def _cut_off(self, _dice: Random) -> None:
        """In the middle of a transaction that holds an order's row; both recover by themselves."""
        town = self._town
        web, work = town.web_hosts[0], town.work_hosts[0]
        with self._nothing_restarted():
            token, order_id = self._order()
            holder = self._hold_row(web, order_id)
            try:
                web.cut()
                work.cut()
                holder.signal(signal.SIGUSR1)
                answer = self._cancel(town.web_hosts[1], token, order_id)
                if answer.status != _OK:
                    self._find(LOCKS, f"order {order_id}", f"cancelled elsewhere: {answer}")
                self._wait_for_trade()
                wait_until(lambda: not holder.is_alive(), "the host that is cut off notices it")
                if LET_GO not in holder.log():
                    self._find(LOCKS, f"order {order_id}", holder.tail())
            finally:
                web.mend()
                work.mend()
                holder.clear_away()
            self._wait_for_answers()

    def _kill(self, _dice: Random) -> None:
        """Without power; the others go on, and they come back to a shop that went on."""
        town = self._town
        gone = (town.web_hosts[1], town.work_hosts[1])
        for host in gone:
            town.put_out(host)
        try:
            self._wait_for_trade()
        finally:
            for host in gone:
                town.bring_back(host)
        for host in gone:
            wait_until(partial(town.is_ready, host), f"{host.name} is back")
        self._wait_for_answers()

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
        """Unreachable at first, then refused; limits are counted apart, and together again."""
        town = self._town
        post = town.posts[town.redis_host.name]
        with self._nothing_restarted():
            town.redis_host.cut()
            post.is_held = True
            try:
                self._wait_for_trade()
                post.kill()
                town.redis_host.mend()
                if not self._is_limited_somewhere():
                    self._find(LIMITS, "Redis is gone", "a host lets through more than its own")
                self._wait_for_trade()
            finally:
                town.redis_host.mend()
                post.is_held = False
            wait_until(lambda: post.is_ready, "Redis is back")
            wait_until(self._is_limited_everywhere, "limits are counted together again")
            wait_until(self._is_queue_read, "the workers wait at their queue again")

    def _is_queue_read(self) -> bool:
        try:
            found: Any = self._town.redis.info("clients")
        except redis.RedisError:
            return False
        return bool(found["blocked_clients"])

    def _restart_database(self, _dice: Random) -> None:
        """Each web host says 503 and when to come again, and serves again by itself."""
        post = self._town.posts[self._town.database_host.name]
        with self._nothing_restarted():
            post.is_held = True
            try:
                post.kill(signal.SIGINT)
                wait_until(lambda: not post.program.is_alive(), "PostgreSQL has stopped")
                for name in self._callers:
                    self._check_refused(name)
            finally:
                post.is_held = False
            wait_until(lambda: post.is_ready, "PostgreSQL is back")
            self._wait_for_answers()

    def _check_refused(self, name: str) -> None:
        answer = self._ask(name, "GET", "/api/items")
        if answer.status != _AWAY or answer.retry_after_seconds is None:
            self._find(ANSWERS, name, f"while PostgreSQL is away: {answer}")

    # --- what all of them need ---

    def _wait_for_trade(self) -> None:
        """Until orders have been placed, reports of payments received and payments booked."""
        tables = (
            (Order, InboxMessage, LedgerEvent) if self._town.has_front else (Order, LedgerEvent)
        )
        count = select(*(select(func.count()).select_from(one).scalar_subquery() for one in tables))

        def read() -> tuple[int, ...]:
            with self._town.database.reading() as session:
                return tuple(session.execute(count).one())

        before = read()
        wait_until(
            lambda: all(new > old for new, old in zip(read(), before, strict=True)),
            "the shop goes on selling",
        )

    def _wait_for_answers(self) -> None:
        """Until every web host serves what is in the database; meanwhile it may say 503."""

        def is_well(name: str) -> bool:
            try:
                answer = self._callers[name].call("GET", "/api/items")
            except NoAnswer:
                return False
            if answer.status not in {_OK, _AWAY}:
                self._find(ANSWERS, name, str(answer))
            return answer.status == _OK

        for name in self._callers:
            wait_until(partial(is_well, name), f"{name} serves again")

    @contextmanager
    def _nothing_restarted(self) -> Iterator[None]:
        before = self._processes()
        yield
        for name, pids in self._processes().items():
            if pids != before[name]:
                self._find(RESTARTS, name, f"was {before[name]}, is {pids}")

    def _processes(self) -> dict[str, list[int]]:
        town = self._town
        posts = {host.name: town.posts[host.name] for host in town.web_hosts + town.work_hosts}
        return {
            name: [post.program.pid, *sorted(children_of(post.program.pid))]
            for name, post in posts.items()
        }

    def _order(self) -> tuple[str, int]:
        """Somebody's order, and the token of that somebody."""
        name = f"holder{next(self._numbers)}"
        web = self._town.web_hosts[0].name
        new = {"username": name, "email": f"{name}@shop.example", "password": PASSWORD}
        self._insist(web, "/api/register", new, _CREATED)
        token = self._insist(web, "/api/login", {"username": name, "password": PASSWORD}, _OK)[
            "access_token"
        ]
        with self._town.database.reading() as session:
            found = select(Product.id).where(Product.on_hand > _PLENTY).limit(1)
            product_id = session.scalars(found).one()
        wish = {"products": [{"product_id": product_id, "quantity": 1}]}
        return token, self._insist(web, "/api/orders", wish, _CREATED, token)["id"]

    def _cancel(self, host: Host, token: str, order_id: int) -> Answer:
        return self._ask(host.name, "POST", f"/api/orders/{order_id}/cancel", {}, token)

    def _insist(
        self, name: str, path: str, body: object, status: int, token: str | None = None
    ) -> dict[str, Any]:
        answer = self._ask(name, "POST", path, body, token)
        if answer.status != status:
            raise RuntimeError(f"{path} at {name}: {answer}")
        return answer.document

    def _ask(
        self, name: str, method: str, path: str, body: object = None, token: str | None = None
    ) -> Answer:
        """By a new connection where the kept one has died meanwhile. Raises NoAnswer."""
        caller = self._callers[name]
        caller.hang_up()
        return caller.call(method, path, body, token=token)

    def _find(self, check: str, subject: str, detail: str) -> None:
        self.findings[check].append(Row(subject, detail))


def _of_any_stage(happen: Callable[[Random], None]) -> Callable[[Stage, Random], None]:
    return lambda _stage, dice: happen(dice)
