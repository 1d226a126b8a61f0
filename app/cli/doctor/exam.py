"""What every check is given: the settings, the shop, the world outside, what others found."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from app.cli.doctor.findings import Finding, Kind, Level
from app.cli.doctor.quoting import Quoter
from app.config import Config
from app.integrations.mpesa import Examiner
from app.integrations.outside import Outside
from app.jobs.work import Work
from app.ports import AccessToken

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the doctor may do beyond looking: ring this phone for KES 1, ask for balances."""

    phone: str | None = None
    balance: bool = False


@dataclass(slots=True)
class Known:
    """What one check learned and another builds on."""

    gateway_now: datetime | None = None
    """Safaricom's clock when ours showed ``gateway_asked_at``."""
    gateway_asked_at: datetime | None = None
    token: AccessToken | None = None


class Group(StrEnum):
    """The headings of the report, in its order."""

    SETTINGS = "Settings"
    DATABASE = "Database"
    SAFARICOM = "Safaricom"
    ADDRESS = "The address that Safaricom reports to"
    BEYOND = "Refunds, questions and payments from the menu"
    WORK = "Background work"
    STORES = "Stores and accounts"


@dataclass(frozen=True, slots=True)
class Line:
    """A finding as it is reported: with its level here, and nothing secret in it."""

    code: str
    level: Level
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. ``blocked_by`` is the check whose fault kept this one from running."""

    name: str
    group: Group
    lines: tuple[Line, ...]
    seconds: float
    blocked_by: str | None = None

    @property
    def has_fault(self) -> bool:
        return any(line.level is Level.FAULT for line in self.lines)


@dataclass(slots=True)
class Exam:
    """One examination. ``reports`` grows as checks end; only those that a check comes after are
    sure to be in it.
    """

    work: Work
    outside: Outside
    examiner: Examiner
    quoter: Quoter
    wishes: Wishes = Wishes()
    say: Callable[[str], None] = lambda _line: None
    pause: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    known: Known = field(default_factory=Known)
    reports: dict[str, Report] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.work.config

    def quote(self, text: object) -> str:
        """A text that is not ours, fit to be shown."""
        return self.quoter.quote(str(text))

    def is_sound(self, name: str) -> bool:
        """Whether this check ran and found no fault."""
        report = self.reports.get(name)
        return report is not None and not report.has_fault and report.blocked_by is None

    def wait_for(
        self, look: Callable[[], Found | None], *, seconds: float, every: float
    ) -> Found | None:
        """What ``look`` answers as soon as it answers anything; None when time is up."""
        ends_at = self.monotonic() + seconds
        while (found := look()) is None and self.monotonic() < ends_at:
            self.pause(every)
        return found


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    It runs when those it ``needs`` have found no fault, and those it comes ``after`` have ended.
    ``kinds`` are the mistakes that it can name.
    """

    name: str
    group: Group
    about: str
    run: Callable[[Exam], Iterable[Finding]]
    kinds: tuple[Kind, ...] = ()
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    limit_seconds: float = 15

    @property
    def waits_for(self) -> tuple[str, ...]:
        return (*self.needs, *self.after)
