"""Counting requests in our own database: exact over all processes, with nothing more to run."""

import random
from collections.abc import Callable
from dataclasses import fields

from sqlalchemy import case, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from app.config import Config
from app.db import Database
from app.models import RateCounter
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


class DatabaseCounters:
    """One upsert a count, in a transaction of its own: a request's may be rolled back, and what
    was tried still counts. Called inside a transaction it raises RuntimeError.
    """

    def __init__(self, database: Callable[[], Database], clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        now = self._clock()
        database = self._database()
        dialect = sqlite if database.is_sqlite else postgresql
        is_over = RateCounter.expires_at <= now
        statement = (
            dialect.insert(RateCounter)
            .values(key=key, hits=amount, expires_at=now + window_seconds)
            .on_conflict_do_update(
                index_elements=[RateCounter.key],
                set_={
                    "hits": case((is_over, amount), else_=RateCounter.hits + amount),
                    "expires_at": case(
                        (is_over, now + window_seconds), else_=RateCounter.expires_at
                    ),
                },
            )
            .returning(RateCounter.hits, RateCounter.expires_at)
        )
        with database.transaction() as session:
            hits, expires_at = session.execute(statement).one()
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
