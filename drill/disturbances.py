"""What happens to the shop and around it while people buy, as a table, and when.

A moment is a number of stories told, not a time: a seed gives the same on a slow machine, and
the next does not come while all are still held up by the one before.
"""

import os
import signal
import sqlite3
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psycopg
from sqlalchemy.exc import DBAPIError

from drill.options import Options
from drill.processes import age_of, wait_until
from drill.stage import Stage
from drill.supervisor import Post

_POLL_SECONDS = 0.05
_PAYMENTS_IN_A_ROUND = 500
_FIRST, _LAST = 0.05, 0.9
"""Shares of the stories before and after which nothing happens."""


_YOUNG_SECONDS = 6.0
"""Granian takes a process that dies sooner for one that cannot live, and gives up: whoever runs the
shop starts it anew (``Restart=always`` in deploy/systemd), which the supervisor plays another time.
"""
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """``kills`` tells those that end a process; ``only`` names the database it is for."""

    name: str
    happen: Callable[[Stage, Random], None]
    kills: bool = True
    only: str | None = None


def _kill_web_worker(stage: Stage, dice: Random) -> None:
    """One of the processes that serve; the web server starts another."""

    def is_killed() -> bool:
        with suppress(ProcessLookupError, FileNotFoundError):
            children = stage.web_children()
            if children and all(age_of(child) > _YOUNG_SECONDS for child in children):
                os.kill(dice.choice(children), signal.SIGKILL)
                return True
        return False

    wait_until(is_killed, "a web process is there to be killed", _PATIENCE_SECONDS)


def _kill_web(stage: Stage, _dice: Random) -> None:
    _kill(stage.web)


def _kill_worker(stage: Stage, dice: Random) -> None:
    _kill(dice.choice(stage.workers))


def _kill(post: Post, number: int = signal.SIGKILL) -> None:
    """Once it is up: who is dead already would not notice."""
    wait_until(lambda: post.is_ready, f"the {post.name} is ready to be killed")
    post.kill(number)


def _kill_database(stage: Stage, _dice: Random) -> None:
    """SQLite lives in the processes that use it, so all of them die at one moment."""
    if stage.postgres_post is not None:
        _kill(stage.postgres_post)
        return
    wait_until(lambda: stage.is_up, "the shop is up to be killed")
    children = stage.web_children()
    for post in stage.shop:
        post.kill()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _kill_backend(stage: Stage, dice: Random) -> None:
    """PostgreSQL then ends all its connections and recovers, as after a crash of its own."""

    def is_killed() -> bool:
        with suppress(psycopg.Error, ProcessLookupError):
            if backends := stage.postgres.find_backends():
                os.kill(dice.choice(backends), signal.SIGKILL)
                return True
        return False

    wait_until(is_killed, "a connection of the shop is there to be killed", _PATIENCE_SECONDS)


def _restart_fast(stage: Stage, _dice: Random) -> None:
    if stage.postgres_post is not None:
        _kill(stage.postgres_post, signal.SIGINT)


def _restart_immediately(stage: Stage, _dice: Random) -> None:
    if stage.postgres_post is not None:
        _kill(stage.postgres_post, signal.SIGQUIT)


def _cut_line_to_safaricom(stage: Stage, dice: Random) -> None:
    stage.to_safaricom.cut(dice.uniform(0.5, 2.0))


def _cut_line_from_safaricom(stage: Stage, dice: Random) -> None:
    stage.from_safaricom.cut(dice.uniform(0.5, 2.0))


def _freeze_safaricom(stage: Stage, dice: Random) -> None:
    """Connections are taken and nobody answers, for longer than the shop waits."""
    simulator = stage.simulator.program
    simulator.signal(signal.SIGSTOP)
    try:
        time.sleep(dice.uniform(3.2, 4.5))
    finally:
        simulator.signal(signal.SIGCONT)


def _freeze_worker(stage: Stage, dice: Random) -> None:
    """One that comes back and believes that no time has passed."""
    worker = dice.choice(stage.workers).program
    with suppress(ProcessLookupError):
        worker.signal(signal.SIGSTOP)
        time.sleep(dice.uniform(1.0, 3.0))
        worker.signal(signal.SIGCONT)


def _lose_queue(stage: Stage, _dice: Random) -> None:
    def is_lost() -> bool:
        try:
            stage.forget_queue()
        except (DBAPIError, sqlite3.Error):
            return False  # the database is just down, or the queue is being written
        return True

    wait_until(is_lost, "the queue is lost")


def _hold_callbacks(stage: Stage, dice: Random) -> None:
    """None comes for a while, and then all come at once."""
    stage.safaricom.set_callbacks("hold")
    time.sleep(dice.uniform(1.0, 2.5))
    stage.safaricom.set_callbacks("deliver")


def _expire_tokens(stage: Stage, _dice: Random) -> None:
    stage.safaricom.expire_tokens()


DISTURBANCES = (
    Disturbance("web process killed", _kill_web_worker),
    Disturbance("web server killed", _kill_web),
    Disturbance("worker killed", _kill_worker),
    Disturbance("database killed", _kill_database),
    Disturbance("connection's process killed", _kill_backend, only="postgresql"),
    Disturbance("database restarted, fast", _restart_fast, only="postgresql"),
    Disturbance("database restarted, immediate", _restart_immediately, only="postgresql"),
    Disturbance("line to Safaricom cut", _cut_line_to_safaricom, kills=False),
    Disturbance("line from Safaricom cut", _cut_line_from_safaricom, kills=False),
    Disturbance("Safaricom frozen", _freeze_safaricom, kills=False),
    Disturbance("worker frozen", _freeze_worker, kills=False),
    Disturbance("queue lost", _lose_queue, kills=False),
    Disturbance("callbacks held, then all at once", _hold_callbacks, kills=False),
    Disturbance("access tokens expired", _expire_tokens, kills=False),
)


@dataclass(frozen=True, slots=True)
class Appointment:
    """A disturbance that happens when so many stories are told."""

    after: int
    number: int
    disturbance: Disturbance


def plan_disturbances(options: Options, stories: int) -> list[Appointment]:
    """In the order in which they happen, the same for the same seed."""
    dice = Random(f"{options.seed}/disturbances")
    rounds = options.rounds
    if rounds is None:
        rounds = max(1, options.payments // _PAYMENTS_IN_A_ROUND)
    chosen = [
        one
        for one in DISTURBANCES
        if one.only in {None, options.database} and (options.kills or not one.kills)
    ]
    planned = [
        Appointment(int(stories * dice.uniform(_FIRST, _LAST)), number, one)
        for number in range(rounds)
        for one in chosen
    ]
    return sorted(planned, key=lambda one: (one.after, one.number, one.disturbance.name))


class Fate(threading.Thread):
    """Keeps the appointments, one after the other."""

    def __init__(
        self, stage: Stage, appointments: list[Appointment], told: Callable[[], int]
    ) -> None:
        super().__init__(name="fate", daemon=True)
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.now = ""
        """What happens at this moment."""

        self._stage = stage
        self._appointments = appointments
        self._told = told
        self._stopping = threading.Event()

    def run(self) -> None:
        for one in self._appointments:
            while self._told() < one.after:
                if self._stopping.wait(_POLL_SECONDS):
                    return
            self._keep(one)

    def stop(self) -> None:
        """Let the one that happens now end, and begin no other."""
        self._stopping.set()
        self.join()

    def _keep(self, one: Appointment) -> None:
        dice = Random(f"{self._stage.options.seed}/{one.disturbance.name}/{one.number}")
        self.now = one.disturbance.name
        try:
            one.disturbance.happen(self._stage, dice)
        except Exception:  # noqa: BLE001 - what could not be done to the shop is reported
            self.failed.append(f"{one.disturbance.name}: {traceback.format_exc()}")
        else:
            self.done[one.disturbance.name] += 1
        finally:
            self.now = ""
