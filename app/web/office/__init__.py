"""The office: what sellers and admins see and do."""

from app.web.office import (  # noqa: F401 - views register themselves
    orders,
    payments,
    product_pictures,
    products,
    reconciliation,
    spreadsheets,
    stock,
    tasks,
    today,
    users,
    webhooks,
)
from app.web.office.blueprint import office

__all__ = ["office"]
