"""What a drill found, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drill.wrongs import Row

_MOST_ROWS = 20
_WIDTH = 30


@dataclass(frozen=True)
class Check:
    """``amount`` must be nothing; ``rows`` say where it is not. Shillings may have cents."""

    name: str
    amount: float
    rows: Sequence[Row] = ()

    @property
    def holds(self) -> bool:
        return not self.amount and not self.rows


@dataclass(frozen=True)
class Money:
    """How often, and how much in cents."""

    times: int
    cents: int

    def __str__(self) -> str:
        return f"{self.times:,} (KES {self.cents / 100:,.2f})"


@dataclass(frozen=True)
class Report:
    database: str
    seed: int
    command: str
    stories: Mapping[str, int]
    orders: int
    attempts: int
    moved: Money
    from_menu: Money
    returned: Money
    booked: Money
    placeless: Money
    held: Money
    held_back: Money
    disputed: Money
    misread: Money
    owed: Money
    checks: Sequence[Check]
    settle_p50_seconds: float | None
    settle_p99_seconds: float | None
    payments_a_second: float
    """While customers came; after the last of them some wait a minute for a dead worker's lease."""

    shopping_seconds: float
    settling_seconds: float
    roads: Mapping[str, int] = field(default_factory=dict)
    """By which road the shop heard first of each receipt."""

    disturbances: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return all(check.holds for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "seed": self.seed,
            "holds": self.holds,
            "command": self.command,
            "stories": dict(self.stories),
            "orders": self.orders,
            "attempts": self.attempts,
            **{
                name: {"times": money.times, "cents": money.cents}
                for name, money in self._money().items()
            },
            "checks": [
                {
                    "name": check.name,
                    "amount": float(check.amount),
                    "rows": [{"subject": row.subject, "detail": row.detail} for row in check.rows],
                }
                for check in self.checks
            ],
            "settle_p50_seconds": self.settle_p50_seconds,
            "settle_p99_seconds": self.settle_p99_seconds,
            "shopping_seconds": self.shopping_seconds,
            "settling_seconds": self.settling_seconds,
            "payments_a_second": self.payments_a_second,
            "roads": dict(self.roads),
            "disturbances": dict(self.disturbances),
            "refusals": dict(self.refusals),
        }

    def _money(self) -> dict[str, Money]:
        return {
            "moved": self.moved,
            "from_menu": self.from_menu,
            "returned": self.returned,
            "booked": self.booked,
            "placeless": self.placeless,
            "held": self.held,
            "held_back": self.held_back,
            "disputed": self.disputed,
            "misread": self.misread,
            "owed": self.owed,
        }

    def to_text(self) -> str:
        lines = [
            f"Drill on {self.database}, seed {self.seed}",
            "",
            _line("stories told", f"{sum(self.stories.values()):,}"),
            _line("orders", f"{self.orders:,}"),
            _line("attempts to be paid", f"{self.attempts:,}"),
            _line("payments that really moved", str(self.moved)),
            _line("of these from the menu", str(self.from_menu)),
            _line("of these in the books", str(self.booked)),
            _line("in the books, without order", f"{self.placeless}, each with a task"),
            _line("in no book, with a person", f"{self.held}, each with a task"),
            _line("sent back to payers", str(self.returned)),
            _line("sent back, with a person", f"{self.held_back}, each with a task"),
            _line("booked, disputed by query", f"{self.disputed}, each with a task"),
            _line("booked with another amount", f"{self.misread}, each with a task"),
            _line("owed back, late or double", f"{self.owed}, each with a task"),
            "",
            *(_line(check.name, _number(check.amount)) for check in self.checks),
            "",
            _line("time until booked", self._times()),
            _line(
                "pace",
                f"{self.payments_a_second:.1f} payments a second while customers came; all had"
                f" gone after {self.shopping_seconds:.0f} s, settled {self.settling_seconds:.0f} s"
                " later",
            ),
            *_listed("receipts first heard of by", self.roads),
            *_listed("stories", self.stories),
            *_listed("disturbances", self.disturbances),
            *_listed("refusals seen", self.refusals),
            "",
        ]
        if self.holds:
            lines.append("Every shilling is explained.")
        else:
            lines += self._explain()
        return "\n".join(lines)

    def _times(self) -> str:
        if self.settle_p50_seconds is None or self.settle_p99_seconds is None:
            return "nothing was booked"
        return f"p50 {self.settle_p50_seconds:.2f} s, p99 {self.settle_p99_seconds:.2f} s"

    def _explain(self) -> list[str]:
        lines = ["THE DRILL FAILED."]
        for check in self.checks:
            if check.holds:
                continue
            lines.append(f"{check.name}: {_number(check.amount)}")
            lines += [f"  {row.subject}: {row.detail}" for row in check.rows[:_MOST_ROWS]]
            if len(check.rows) > _MOST_ROWS:
                lines.append(f"  … and {len(check.rows) - _MOST_ROWS} more")
        lines.append(f"Repeat it with: {self.command}")
        return lines


def _line(name: str, value: str) -> str:
    return f"{name:<{_WIDTH}}{value}"


def _number(amount: float) -> str:
    return f"{amount:,.2f}" if amount % 1 else f"{amount:,.0f}"


def _listed(name: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return [_line(name, "none")]
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        _line(name if at == 0 else "", f"{times:>6,}  {what}")
        for at, (what, times) in enumerate(items)
    ]
