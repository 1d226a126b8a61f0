"""What a check can say: each mistake is a kind of its own, with a code that never changes."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """OK and SKIPPED ask for nothing; a FAULT keeps the shop from working, or from being safe."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Kind:
    """A mistake. ``says`` names it and what to do, in one sentence with places for facts; ``cause``
    and ``cure`` are for the manual. ``elsewhere`` is its level outside production, if another.
    """

    code: str
    level: Level
    says: str
    cause: str
    cure: str
    elsewhere: Level | None = None

    def level_in(self, *, production: bool) -> Level:
        return self.level if production or self.elsewhere is None else self.elsewhere

    def found(self, **facts: object) -> "Finding":
        return Finding(self, self.says.format(**facts))


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. Without a kind it is no mistake: all is well, or was not looked at."""

    kind: Kind | None
    sentence: str
    is_skipped: bool = False

    @property
    def code(self) -> str:
        if self.kind is not None:
            return self.kind.code
        return Level.SKIPPED if self.is_skipped else Level.OK

    def level_in(self, *, production: bool) -> Level:
        if self.kind is not None:
            return self.kind.level_in(production=production)
        return Level.SKIPPED if self.is_skipped else Level.OK


def fine(sentence: str) -> Finding:
    return Finding(None, sentence)


def skipped(why: str) -> Finding:
    """Not looked at; the sentence says why, and begins small: ``skipped  no initiator is set.``."""
    return Finding(None, why, is_skipped=True)


def fault(code: str, says: str, *, cause: str, cure: str, elsewhere: Level | None = None) -> Kind:
    return Kind(code, Level.FAULT, says, cause, cure, elsewhere)


def warning(code: str, says: str, *, cause: str, cure: str) -> Kind:
    return Kind(code, Level.WARNING, says, cause, cure)
