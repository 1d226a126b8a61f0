"""What all tables share: the naming of constraints, ids, moments, whole numbers."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column

MAX_CENTS = 999_999_999_999
"""Ten digits of shillings and two of cents."""

MAX_COUNT = 2**31 - 1
"""What a column of type Integer holds."""


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment. SQLite keeps no zone, so it is put back; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A moment needs a zone; this one has none.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigId = BigInteger().with_variant(Integer, "sqlite")
Id = Annotated[int, mapped_column(BigId, primary_key=True)]
Cents = Annotated[int, mapped_column(BigInteger)]
Quantity = Annotated[int, mapped_column(Integer)]
Code = Annotated[str, mapped_column(String(40))]
When = Annotated[datetime, mapped_column(Moment)]


def refers_to(target: str, **options: Any) -> Any:
    """A foreign key column's arguments: ``order_id: Mapped[int] = refers_to("orders.id")``."""
    return mapped_column(BigId, ForeignKey(target), **options)


def whole(column: str, minimum: int, maximum: int = MAX_CENTS) -> CheckConstraint:
    """A whole number within bounds, also on SQLite, where a typed column takes 1.5 or 'abc'."""
    return CheckConstraint(
        f"{column} BETWEEN {minimum} AND {maximum} AND CAST({column} AS BIGINT) = {column}",
        name=f"{column}_whole",
    )


def one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    """A text column that holds a state's value and nothing else."""
    values = ", ".join(f"'{state.value}'" for state in states)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


def table(*constraints: Any) -> tuple[Any, ...]:
    """Table arguments. AUTOINCREMENT: SQLite otherwise gives a deleted row's id to the next one,
    and with it whatever an old token or link still names.
    """
    return (*constraints, {"sqlite_autoincrement": True})


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table_of(model: type[Base]) -> Table:
    """The table itself, for statements that leave the mapper out."""
    found = model.__table__
    if not isinstance(found, Table):
        raise TypeError(f"{model.__name__} is no table.")
    return found
