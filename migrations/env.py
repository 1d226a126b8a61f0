"""Alembic's environment: called by `python manage.py db …` with a connection in its attributes."""

from typing import Any, Literal

from alembic import context

from app.models import Base
from app.models.base import Moment
from app.schema_migrations import is_in_models


def render_item(kind: str, item: Any, _autogen_context: object) -> str | Literal[False]:
    """Write our moment type as plain SQLAlchemy, so that a migration outlives our class."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.DateTime(timezone=True)"
    return False


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_name=is_in_models,
        transactional_ddl=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
