"""What can be chosen for a drill."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities; all but the last are the simulator's, under its own names.

    The first are rolled for each push and its queries, those of confirmations for each payment that
    went through and each payment from the menu, those of results and requests for each refund and
    each question about money.
    """

    callback_lost: float = 0.30
    callback_twice: float = 0.30
    callback_late: float = 0.30
    answer_lost: float = 0.05
    refused: float = 0.05
    query_error: float = 0.10
    confirmation_lost: float = 0.30
    confirmation_twice: float = 0.30
    confirmation_late: float = 0.30
    validation_lost: float = 0.50
    token_unavailable: float = 0.20
    result_lost: float = 0.30
    result_twice: float = 0.30
    result_late: float = 0.30
    ack_lost: float = 0.05
    request_refused: float = 0.05
    queue_timeout: float = 0.02
    client_hangs_up: float = 0.05
    """A customer's connection is gone before the shop's answer is read."""

    def of_simulator(self) -> dict[str, float]:
        chosen = asdict(self)
        del chosen["client_hangs_up"]
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``payments`` is how many are meant; buyers who do not mean to pay come on top of them.

    ``clock_factor`` is how many simulated seconds pass in a real one; the shop's own patience is
    shortened by it. ``hurry`` ends by hand the leases of a minute that dead workers leave behind.
    """

    database: str = "postgresql"
    payments: int = 2000
    seed: int = 1
    kills: bool = True
    rounds: int | None = None
    """How often each disturbance comes; by itself, once in 500 payments, and at least once."""

    web_workers: int = 2
    workers: int = 2
    connections: int = 20
    buyers: int = 240
    """Each kill leaves some of them waiting a minute for a dead process's lease."""

    clock_factor: float = 20.0
    patience_seconds: float = 300.0
    hurry: bool = False
    faults: Faults = field(default_factory=Faults)

    @property
    def is_sqlite(self) -> bool:
        return self.database == "sqlite"

    @property
    def command(self) -> str:
        """What repeats this drill, with what differs from the defaults."""
        words = [
            f"--database {self.database}",
            f"--payments {self.payments}",
            f"--seed {self.seed}",
            *([] if self.kills else ["--no-kills"]),
            *(["--hurry"] if self.hurry else []),
            *_differing(self, {"rounds", "web_workers", "workers", "connections", "buyers"}),
            *_differing(self, {"clock_factor", "patience_seconds"}),
            *_differing(self.faults, {one.name for one in fields(Faults)}),
        ]
        return f'make drill DRILL_ARGS="{" ".join(words)}"'


def _differing(chosen: Any, names: set[str]) -> list[str]:
    defaults = type(chosen)()
    return [
        f"--{name.replace('_', '-')} {getattr(chosen, name):g}"
        for name in sorted(names)
        if getattr(chosen, name) != getattr(defaults, name)
    ]
