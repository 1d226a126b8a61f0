"""Which rule of the database was broken: for the few places where a race can be lost."""

from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError

from app.models import Base


def breaks(error: IntegrityError, constraint: str) -> bool:
    """True if it was this unique constraint, by its name in the models.

    PostgreSQL names the constraint. SQLite names the columns instead.
    """
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return bool(diagnosis.constraint_name == constraint)
    return str(error.orig) == f"UNIQUE constraint failed: {_columns_of(constraint)}"


def _columns_of(constraint: str) -> str:
    for table in Base.metadata.tables.values():
        for candidate in table.constraints:
            if isinstance(candidate, UniqueConstraint) and candidate.name == constraint:
                return ", ".join(f"{table.name}.{column.name}" for column in candidate.columns)
    raise LookupError(f"No table has a constraint named {constraint}.")
