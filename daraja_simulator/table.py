"""A table of outcomes: rows by the last four digits of a phone, by name, or by result code."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

_DIGITS = 4


class ShopEnd(StrEnum):
    """What a correct shop makes of it in the end."""

    PAID = "paid"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # a person has to look: no road told the whole truth


class AnyPlan(Protocol):
    @property
    def result_code(self) -> str | None:
        """What M-Pesa says in the end; None when nothing is ever taken up."""
        ...


P = TypeVar("P", bound=AnyPlan)


@dataclass(frozen=True)  # slots do not go with a generic class that is frozen
class Outcome(Generic[P]):
    digits: str
    name: str
    sentence: str
    shop_ends: ShopEnd
    plan: P

    def to_json(self) -> dict[str, str | None]:
        return {
            "digits": self.digits,
            "name": self.name,
            "sentence": self.sentence,
            "shop_ends": self.shop_ends.value,
            "result_code": self.plan.result_code,
        }


class Table(Generic[P]):
    def __init__(
        self,
        key: str,
        title: str,
        default: Outcome[P],
        rows: Sequence[Outcome[P]],
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.key = key
        self.title = title
        self.default = default
        self.rows = (default, *rows)
        self._by_digits = {row.digits: row for row in rows if row.digits}
        self._by_name = {row.name: row for row in self.rows}
        self._aliases = aliases or {}

    def of_phone(self, phone: str) -> Outcome[P]:
        return self._by_digits.get(phone[-_DIGITS:], self.default)

    def find(self, text: str) -> Outcome[P] | None:
        """Look up by name, by digits, or by alias: `wrong_pin`, `2001`, `1`, `SFC_IC0003`."""
        name = self._aliases.get(text, text)
        return self._by_name.get(name) or (
            self._by_digits.get(name.zfill(_DIGITS)) if name else None
        )

    def label_of(self, row: Outcome[P]) -> str:
        """Its digits; the default has all others, and some rows come only when they are forced."""
        return row.digits or ("other" if row is self.default else "forced")

    def print(self, width: int = 100) -> str:
        """As text for a terminal."""
        lines = [f"{'digits':8}{'name':28}{'shop ends':11}what happens"]
        for row in self.rows:
            start = f"{self.label_of(row):8}{row.name:28}{row.shop_ends.value:11}"
            lines += textwrap.wrap(start + row.sentence, width, subsequent_indent=" " * len(start))
        return "\n".join(lines)
