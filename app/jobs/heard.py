"""What became of a message that was read."""

from collections.abc import Callable
from dataclasses import dataclass

from app.jobs.work import Work


@dataclass(frozen=True, slots=True)
class Heard:
    """``outcome`` in a word, for the inbox; ``then`` is done once that is committed."""

    outcome: str
    then: Callable[[Work], None] | None = None
