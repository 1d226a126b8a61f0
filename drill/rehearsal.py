"""A drill from the first process to the report."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Self

from sqlalchemy.orm import Session

from app.utils.clock import utc_now
from drill.buyer import Buyer, Notes, Steps, World
from drill.caller import Caller
from drill.crowd import Crowd
from drill.disturbances import Appointment, Fate, plan_disturbances
from drill.evidence import Told
from drill.examine import Findings, examine
from drill.market import open_market
from drill.options import Options
from drill.report import Check, Money, Report
from drill.settling import Say, Settling
from drill.stage import Stage
from drill.stories import Story, plan_stories
from drill.values import Comparison, Movement
from drill.wrongs import Row


@dataclass(frozen=True, slots=True)
class Times:
    payments_a_second: float
    shopping_seconds: float
    settling_seconds: float


class Rehearsal:
    """Used as a context manager: its processes are gone at the end, its folder is the caller's.

    After ``run`` the shop has stopped, but its database may still be examined.
    """

    def __init__(self, options: Options, folder: Path, say: Say) -> None:
        self.options = options
        self.told = Told()
        self._say = say
        self._stage = self._make_stage(folder)
        self._plan = plan_stories(options.seed, options.payments)

    def __enter__(self) -> Self:
        self._say("starting", 0.0)
        self._stage.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stage.__exit__()

    @property
    def stage(self) -> Stage:
        return self._stage

    def run(self) -> Report:
        with closing(self._make_caller()) as caller:
            return self._run(caller)

    def _run(self, caller: Caller) -> Report:
        stage, options = self._stage, self.options
        self._say("opening the market", 0.0)
        market = open_market(
            caller,
            stage.database,
            payments=options.payments,
            rushes=sum(story.name == "rush" for story in self._plan),
            seed=options.seed,
        )
        units = dict(market.units)
        crowd = Crowd(threads=options.connections, most_at_once=options.buyers)
        world = World(
            options,
            caller,
            crowd,
            market,
            stage.safaricom,
            stage.safaricom.fates(in_a_hurry=options.hurry),
        )
        self._fate = fate = Fate(stage, self._plan_disturbances(), lambda: crowd.told)
        began = time.time()
        fate.start()
        crowd.run(self._tell_stories(world), lambda: self._look(crowd))
        fate.stop()
        shopped = time.time()
        settling = Settling(stage, world.notes, units, self._say)
        settling.run()
        self.told = settling.told
        settled = time.time()
        with stage.database.reading(may_pause=True) as session:
            findings = examine(session, self.told, utc_now())
        stage.stop_shop()
        pace = self._pace(findings.movements, began, crowd.all_begun_at or shopped)
        times = Times(pace, shopped - began, settled - shopped)
        checks = self._check_drill(world.notes, crowd, fate, settling.unread)
        return self._report(findings, [*findings.checks, *checks], world.notes, fate, times)

    def examine(self, session: Session) -> Findings:
        """Look again at what is in the database now."""
        return examine(session, self.told, utc_now())

    # --- what another rehearsal may have otherwise ---

    def _make_stage(self, folder: Path) -> Stage:
        return Stage(self.options, folder)

    def _make_caller(self) -> Caller:
        return Caller(self._stage.web_port)

    def _plan_disturbances(self) -> list[Appointment]:
        return plan_disturbances(self.options, len(self._plan))

    # --- shopping ---

    def _tell_stories(self, world: World) -> Iterator[Callable[[], Steps[None]]]:
        for number, story in enumerate(self._plan):
            yield partial(_tell, story, world, number)

    def _look(self, crowd: Crowd) -> None:
        told, all_of_them = crowd.told, len(self._plan)
        self._say(f"{told:,} of {all_of_them:,} stories told", told / all_of_them)

    # --- reporting ---

    def _report(
        self,
        findings: Findings,
        checks: Sequence[Check],
        notes: Notes,
        fate: Fate,
        times: Times,
    ) -> Report:
        comparison = findings.comparison
        waits = self._times_to_settle(comparison)
        return Report(
            database=self.options.database,
            seed=self.options.seed,
            command=self.options.command,
            stories=Counter(story.name for story in self._plan),
            orders=findings.orders,
            attempts=findings.attempts,
            moved=_sum(one.cents for one in findings.movements if one.cents > 0),
            from_menu=_sum(
                one.cents for one in findings.movements if one.cents > 0 and one.is_from_menu
            ),
            returned=_sum(-one.cents for one in findings.movements if one.cents < 0),
            booked=_sum(one.cents for _, one in comparison.matched if one.cents > 0),
            placeless=_sum(one.cents for one in comparison.placeless),
            held=_sum(one.cents for one in comparison.held if one.cents > 0),
            held_back=_sum(-one.cents for one in comparison.held if one.cents < 0),
            disputed=_sum(abs(one.cents) for one in comparison.disputed),
            misread=_sum(abs(ours.cents - moved.cents) for moved, ours in comparison.misread),
            owed=findings.owed,
            checks=checks,
            roads=findings.roads,
            settle_p50_seconds=_quantile(waits, 50),
            settle_p99_seconds=_quantile(waits, 99),
            payments_a_second=times.payments_a_second,
            shopping_seconds=times.shopping_seconds,
            settling_seconds=times.settling_seconds,
            disturbances=fate.done,
            refusals=notes.refusals,
        )

    def _check_drill(
        self, notes: Notes, crowd: Crowd, fate: Fate, unread: str | None
    ) -> list[Check]:
        """That the shop called nothing its own fault, nothing died but what was killed, and the
        drill did what it meant to do.
        """
        deaths = [
            Row(one.name, f"ended with {one.exit_code}: {one.last_words}")
            for one in self._stage.supervisor.deaths
        ]
        broken = [Row("story", trace) for trace in crowd.broken]
        failed = [Row("disturbance", trace) for trace in fate.failed]
        lists = [] if unread is None else [Row("M-Pesa's list", unread)]
        return [
            Check("answers of 500", notes.refusals["internal"]),
            Check("processes that died unkilled", len(deaths), deaths),
            Check("stories that broke off", len(broken), broken),
            Check("disturbances that failed", len(failed), failed),
            Check("lists not read whole", len(lists), lists),
        ]

    def _pace(self, movements: Sequence[Movement], began: float, all_begun: float) -> float:
        """Payments a second until the last customer came."""
        paid = (one.moved_at.timestamp() for one in movements if one.cents > 0)
        return sum(moment <= all_begun for moment in paid) / (all_begun - began)

    def _times_to_settle(self, comparison: Comparison) -> list[float]:
        """Real seconds from the moment when money moved to its row in the ledger."""
        return sorted(
            max(0.0, (booking.booked_at - movement.moved_at).total_seconds())
            for movement, booking in comparison.matched
        )


def _tell(story: Story, world: World, number: int) -> Steps[None]:
    return story.tell(Buyer(world, number))


def _sum(cents: Iterator[int]) -> Money:
    found = list(cents)
    return Money(len(found), sum(found))


def _quantile(times: Sequence[float], percent: int) -> float | None:
    if len(times) < 2:  # noqa: PLR2004 - quantiles want two
        return times[0] if times else None
    return quantiles(times, n=100, method="inclusive")[percent - 1]
