"""The index of either database behind one small interface."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from app.services.search.postgresql_index import PostgresqlIndex
from app.services.search.sqlite_index import SqliteIndex
from app.services.search.values import Expression

MOST_LOOKED_AT = 5_000
"""Of so many of the newest hits those are taken that also have the right stock and price."""


class Index(Protocol):
    def hits(self, expression: Expression, wanted: int, most: int) -> Iterator[Sequence[int]]:
        """The ids of matching products, newest first, in batches: at most ``most`` of them.

        The first batches hold about ``wanted``; who has enough stops asking.
        """

    def among(self, ids: Sequence[int]) -> ColumnElement[bool]:
        """A condition on Product: one of these. As a list of parameters it would take longer to
        send than to answer.
        """

    def neighbours(self, spellings: set[str], most: int) -> Sequence[str]:
        """Words of names, now or once, that share one of these spellings."""


def index_of(session: Session) -> Index:
    if session.get_bind().dialect.name == "sqlite":
        return SqliteIndex(session)
    return PostgresqlIndex(session)
