"""What stands in the database, each looked at in a transaction of its own."""

from datetime import datetime

from sqlalchemy import func, select

from app.db import Database
from app.models import Order
from app.models.base import Base
from tests.core import is_clean
from tests.factories import NOW


def is_sound(database: Database, now: datetime = NOW) -> bool:
    """Assert that every invariant of money and stock holds in what was committed."""
    with database.reading() as session:
        return is_clean(session, now)


def how_many(database: Database, model: type[Base], *conditions) -> int:
    """The rows of a table that fulfil the conditions."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(model).where(*conditions))


def status_of(database: Database, order: Order) -> str:
    """Where an order stands by now."""
    with database.reading() as session:
        return session.get_one(Order, order.id).status
