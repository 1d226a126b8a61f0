"""Probabilities with which chance spoils what would have gone well."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random

# Each group is rolled with dice of its own, in this order.
PUSH_FAULTS = (
    "callback_lost",
    "callback_twice",
    "callback_late",
    "answer_lost",
    "refused",
    "query_error",
)
C2B_FAULTS = ("confirmation_lost", "confirmation_twice", "confirmation_late", "validation_lost")
REQUEST_FAULTS = (
    "result_lost",
    "result_twice",
    "result_late",
    "queue_timeout",
    "ack_lost",
    "request_refused",
)


@dataclass(frozen=True, slots=True)
class Faults:
    """Each is rolled for each push, payment or request on its own."""

    callback_lost: float = 0.0
    callback_twice: float = 0.0
    callback_late: float = 0.0
    answer_lost: float = 0.0
    refused: float = 0.0
    query_error: float = 0.0
    token_unavailable: float = 0.0
    confirmation_lost: float = 0.0
    confirmation_twice: float = 0.0
    confirmation_late: float = 0.0
    validation_lost: float = 0.0
    result_lost: float = 0.0
    result_twice: float = 0.0
    result_late: float = 0.0
    queue_timeout: float = 0.0
    ack_lost: float = 0.0
    request_refused: float = 0.0

    def to_json(self) -> dict[str, float]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def roll(self, names: Sequence[str], dice: Random) -> dict[str, bool]:
        """All are rolled, always: changing one probability leaves the other rolls as they were."""
        chances = self.to_json()
        return {name: dice.random() < chances[name] for name in names}


def read_faults(values: dict[str, object], present: Faults) -> Faults:
    """Change those that are named. Raises ValueError for a strange name or no probability."""
    changes: dict[str, float] = {}
    for name, value in values.items():
        if name not in present.to_json():
            raise ValueError(f"There is no fault called {name!r}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"The probability of {name} lies between 0 and 1.")
        changes[name] = float(value)
    return replace(present, **changes)
