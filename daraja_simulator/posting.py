"""How often, how soon and whether at all something is posted to the shop."""

from dataclasses import dataclass, replace
from typing import TypeVar

LATE_SECONDS = 180.0

P = TypeVar("P", bound="Posting")


@dataclass(frozen=True, slots=True)
class Posting:
    """Copies 0 is lost on the way; `at_once` sends the copies concurrently."""

    copies: int = 1
    at_once: bool = False
    delay_seconds: float = 0.0


def spoil_posting(posting: P, *, lost: bool, twice: bool, late: bool) -> P:
    """What the rolls of chance make of it."""
    if lost:
        posting = replace(posting, copies=0)
    elif twice:
        posting = replace(posting, copies=max(2, posting.copies))
    return replace(posting, delay_seconds=LATE_SECONDS) if late else posting
