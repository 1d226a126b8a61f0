"""What can be chosen for a bench."""

from dataclasses import dataclass
from pathlib import Path

DATABASES = ("postgresql", "sqlite")
FEW, MANY = 10_000, 1_000_000
"""Products of a shop, and of a big one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``connections`` are requests at one moment; a round loads each side for ``seconds``."""

    databases: tuple[str, ...] = DATABASES
    rounds: int = 7
    seconds: int = 2
    connections: int = 16
    many: int = MANY
    """How many products a big shop has; fewer make a quicker run, and say less."""
    keep: Path | None = None
    """Where filled databases are kept for the next run; otherwise they go with this one."""
