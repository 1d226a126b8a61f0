"""The office: what sellers and admins see and do."""

from app.web.office import orders, payments, today  # noqa: F401 - views register themselves
from app.web.office.blueprint import office

__all__ = ["office"]
