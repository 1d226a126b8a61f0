"""One access token for all processes: the TokenStore that lives in our own database."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import Database
from app.models import SharedToken
from app.ports import AccessToken, Clock


def token_name(base_url: str, consumer_key: str) -> str:
    """The row that one consumer key at one gateway has; the key itself is not written down."""
    return hashlib.sha256(f"{base_url}\n{consumer_key}".encode()).hexdigest()


class SharedTokenStore:
    """Each call is one short transaction of its own, so none may be made inside another."""

    def __init__(self, database: Database, name: str, clock: Clock) -> None:
        self._database = database
        self._name = name
        self._clock = clock

    def read(self) -> AccessToken | None:
        with self._database.reading() as session:
            row = session.get(SharedToken, self._name)
            if row is None or row.value is None or row.expires_at is None:
                return None
            return AccessToken(row.value, row.expires_at)

    def claim(self, lease_seconds: float) -> bool:
        """One statement decides it: the row is new, or its last claim is over."""
        now = self._clock()
        until = now + timedelta(seconds=lease_seconds)
        free = SharedToken.claimed_until.is_(None) | (SharedToken.claimed_until <= now)
        return self._put({"claimed_until": until}, only_if=free)

    def write(self, token: AccessToken) -> None:
        self._put(
            {"value": token.value, "expires_at": token.expires_at, "claimed_until": None},
            only_if=None,
        )

    def drop(self, value: str) -> None:
        with self._database.transaction() as session:
            session.execute(
                update(SharedToken)
                .where(SharedToken.name == self._name, SharedToken.value == value)
                .values(value=None, expires_at=None)
            )

    def _put(self, values: Mapping[str, str | datetime | None], only_if: Any) -> bool:
        """Insert the row, or change it where ``only_if`` holds; True if either was done."""
        dialect = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(SharedToken).values(name=self._name, **values)
        statement = statement.on_conflict_do_update(
            index_elements=[SharedToken.name], set_=values, where=only_if
        ).returning(SharedToken.name)
        with self._database.transaction() as session:
            return session.execute(statement).first() is not None
