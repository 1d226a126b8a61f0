"""What can be chosen for a drill on several machines."""

from dataclasses import dataclass
from typing import Self

from drill.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsOptions(Options):
    """``payments`` are those of the customers who come at least; more do while there is trouble."""

    payments: int = 300
    rounds: int | None = 3
    web_workers: int = 1
    connections: int = 8
    buyers: int = 40
    is_short: bool = False

    @classmethod
    def short(cls, seed: int) -> Self:
        return cls(
            seed=seed,
            payments=30,
            rounds=1,
            connections=5,
            buyers=10,
            clock_factor=40,
            patience_seconds=90,
            hurry=True,
            is_short=True,
        )

    @property
    def command(self) -> str:
        how = "--short" if self.is_short else f"--rounds {self.rounds}"
        return f'make drill-hosts HOSTS_ARGS="{how} --seed {self.seed}"'
