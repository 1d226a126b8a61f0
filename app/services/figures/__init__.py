"""What the office counts: sales and orders by day, how payments ended, what waits for a hand."""

from app.services.figures.days import (
    OUTCOME_DAYS,
    SALES_DAYS,
    OutcomeDay,
    Period,
    SalesDay,
    compare_periods,
    read_outcomes,
    read_sales,
)
from app.services.figures.waiting import LowProduct, Waiting, read_waiting

__all__ = [
    "OUTCOME_DAYS",
    "SALES_DAYS",
    "LowProduct",
    "OutcomeDay",
    "Period",
    "SalesDay",
    "Waiting",
    "compare_periods",
    "read_outcomes",
    "read_sales",
    "read_waiting",
]
