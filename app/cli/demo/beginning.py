"""Whether anybody has begun to use the shop."""

from sqlalchemy import exists, select

from app.db import Database
from app.models import Category, Product, User


def is_empty(database: Database) -> bool:
    """No users, no products, no categories."""
    with database.reading() as session:
        return not any(
            session.scalar(select(exists().select_from(model)))
            for model in (User, Product, Category)
        )
