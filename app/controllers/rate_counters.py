"""Counting requests in our own database: exact over all processes, with nothing more to run."""

import random
from collections.abc import Callable
from dataclasses import fields

from sqlalchemy import Float, Integer, bindparam, case, delete, select

from app.asking import Prepared
from app.config import Config
from app.db import Database, in_transaction
from app.models import RateCounter
from app.models.base import table_of
from app.ports import Clock
from app.utils.limiter import (
    Counters,
    Limits,
    MemoryCounters,
    RedisCounters,
    SteadyCounters,
    Window,
)

_CLEAN_ONE_IN = 200
_CLEAN_AT_MOST = 1000


def build_limits(config: Config, database: Callable[[], Database], clock: Clock) -> Limits:
    """Where RATE_LIMIT_STORAGE_URL says: ``database://``, ``redis://…`` or ``memory://``."""

    def seconds() -> float:
        return clock().timestamp()

    return Limits(
        counters=_counters(config.rate_limit_storage_url, database, seconds),
        by_name={
            setting.name: getattr(config, setting.name)
            for setting in fields(config)
            if setting.name.endswith("_limit")
        },
        enabled=config.rate_limits_enabled,
        clock=seconds,
    )


def _counters(url: str, database: Callable[[], Database], seconds: Callable[[], float]) -> Counters:
    if url.startswith("memory://"):
        return MemoryCounters(seconds)
    if url.startswith("database://"):
        return SteadyCounters(DatabaseCounters(database, seconds), seconds)
    return SteadyCounters(RedisCounters(url), seconds)


_COUNTERS = table_of(RateCounter).c
_NOW, _FULL = bindparam("now", type_=Float), bindparam("full", type_=Float)
_AMOUNT = bindparam("amount", type_=Integer)
_ADD = Prepared(
    lambda into: (
        into(table_of(RateCounter))
        .values(key=bindparam("key"), hits=_AMOUNT, expires_at=_FULL)
        .on_conflict_do_update(
            index_elements=[_COUNTERS.key],
            set_={
                "hits": case(
                    (_COUNTERS.expires_at <= _NOW, _AMOUNT), else_=_COUNTERS.hits + _AMOUNT
                ),
                "expires_at": case(
                    (_COUNTERS.expires_at <= _NOW, _FULL), else_=_COUNTERS.expires_at
                ),
            },
        )
        .returning(_COUNTERS.hits, _COUNTERS.expires_at)
    )
)


class DatabaseCounters:
    """One upsert a count, beside any transaction: a request's may be rolled back, and what was
    tried still counts. Called inside a transaction it raises RuntimeError: it would wait for it.
    """

    def __init__(self, database: Callable[[], Database], clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        if in_transaction():
            raise RuntimeError("Count before or after a transaction, not inside one.")
        now = self._clock()
        database = self._database()
        with database.turn():
            ((hits, expires_at),) = _ADD.rows(
                database.asking, key=key, amount=amount, now=now, full=now + window_seconds
            )
        if random.randrange(_CLEAN_ONE_IN) == 0:
            self.clean()
        return Window(hits, expires_at)

    def look(self, key: str) -> Window | None:
        with self._database().reading() as session:
            row = session.get(RateCounter, key)
            if row is None or row.expires_at <= self._clock():
                return None
            return Window(row.hits, row.expires_at)

    def clean(self) -> None:
        """Delete counts that are over, a bounded number, passing by those that are in use."""
        over = (
            select(RateCounter.key)
            .where(RateCounter.expires_at <= self._clock())
            .limit(_CLEAN_AT_MOST)
            .with_for_update(skip_locked=True)
        )
        with self._database().transaction() as session:
            session.execute(delete(RateCounter).where(RateCounter.key.in_(over)))
