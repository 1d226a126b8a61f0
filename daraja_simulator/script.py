"""Which outcome the next push has: forced, or by the phone, and then bent by chance."""

from collections import deque
from dataclasses import dataclass, fields, replace
from random import Random

from daraja_simulator import wire
from daraja_simulator.outcomes import (
    LATE_SECONDS,
    Answer,
    Outcome,
    Plan,
    QueryFault,
    outcome_of_phone,
)


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities, each rolled for each push on its own."""

    callback_lost: float = 0.0
    callback_twice: float = 0.0
    callback_late: float = 0.0
    answer_lost: float = 0.0
    refused: float = 0.0
    query_error: float = 0.0
    token_unavailable: float = 0.0

    def to_json(self) -> dict[str, float]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


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


class Script:
    """Forced outcomes are used up in the order they were given; the gateway's lock guards them."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._next: dict[str | None, deque[Outcome]] = {}

    def force(self, outcome: Outcome, phone: str | None, count: int) -> None:
        """For one phone, or with None for whichever phone comes first."""
        self._next.setdefault(phone, deque()).extend([outcome] * count)

    def forced(self) -> list[dict[str, str | None]]:
        return [
            {"phone": phone, "outcome": outcome.name}
            for phone, outcomes in self._next.items()
            for outcome in outcomes
        ]

    def take(self, phone: str) -> Outcome:
        for key in (phone, None):
            if self._next.get(key):
                return self._next[key].popleft()
        return outcome_of_phone(phone)

    def clear(self) -> None:
        self.faults = Faults()
        self._next.clear()

    def bend(self, plan: Plan, dice: Random) -> Plan:
        """Let chance spoil a plan that is otherwise accepted."""
        # All are rolled, always: changing one probability leaves the other rolls as they were.
        rolls = {name: dice.random() < chance for name, chance in self.faults.to_json().items()}
        if plan.refusal:
            return plan
        if rolls["refused"]:
            return replace(plan, refusal=wire.SYSTEM_BUSY)
        callback = plan.callback
        if rolls["callback_lost"]:
            callback = replace(callback, copies=0)
        elif rolls["callback_twice"]:
            callback = replace(callback, copies=max(2, callback.copies))
        if rolls["callback_late"]:
            callback = replace(callback, delay_seconds=LATE_SECONDS)
        answer = Answer.CUT if rolls["answer_lost"] else plan.answer
        query = QueryFault.FLAKY if rolls["query_error"] else plan.query
        return replace(plan, callback=callback, answer=answer, query=query)
