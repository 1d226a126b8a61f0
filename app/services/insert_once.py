"""Inserting a row that another hand may insert at the same moment."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.models import Base


def insert_once(
    session: Session,
    model: type[Base],
    key: str,
    values: Mapping[str, Any],
    *,
    among: TextClause | None = None,
) -> bool:
    """Insert a row unless one with this value in its unique column ``key`` is there.

    Answers whether it is new. While another transaction is inserting the same, this one waits for
    its end, where a look before the insert would see nothing and then break the constraint.
    ``among`` is the index' condition where the column is unique among some rows alone.
    """
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(model)
        .values(**values)
        .on_conflict_do_nothing(index_elements=[key], index_where=among)
        .returning(model.__mapper__.primary_key[0])
    )
    return session.execute(statement).one_or_none() is not None
