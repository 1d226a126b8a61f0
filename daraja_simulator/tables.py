"""All tables of outcomes, by the API they are about."""

from typing import Any

from daraja_simulator import c2b_outcomes, outcomes, service_outcomes
from daraja_simulator.apis import ASYNCHRONOUS, Api
from daraja_simulator.table import Table

TABLES: dict[Api, Table[Any]] = {
    Api.EXPRESS: outcomes.TABLE,
    Api.C2B: c2b_outcomes.TABLE,
    **dict.fromkeys(ASYNCHRONOUS, service_outcomes.TABLE),
}


def tables_to_json() -> dict[str, list[dict[str, str | None]]]:
    """The rows of pushes are called `outcomes`."""
    return {table.key: [row.to_json() for row in table.rows] for table in distinct_tables()}


def distinct_tables() -> list[Table[Any]]:
    """Each once, though several APIs may share one."""
    return list(dict.fromkeys(TABLES.values()))


def print_tables() -> str:
    return "\n\n".join(f"{table.title}:\n\n{table.print()}" for table in distinct_tables())
