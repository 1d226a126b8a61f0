"""The office: what sellers and admins see and do."""

from app.web.office import (  # noqa: F401 - views register themselves
    exception_decisions,
    exceptions,
    orders,
    payments,
    product_pictures,
    products,
    reconciliation,
    refund_forms,
    refunds,
    spreadsheets,
    stock,
    tasks,
    today,
    users,
    webhooks,
)
from app.web.office.blueprint import office

__all__ = ["office"]
