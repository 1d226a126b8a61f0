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

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    InboxMessage,
    Order,
    OrderStatus,
    Payment,
    Refund,
    RefundKind,
)
from app.utils.clock import utc_now
from drill.books import Comparison, Movement
from drill.buyer import Buyer, Notes, Steps, World
from drill.caller import Caller
from drill.crowd import Crowd
from drill.disturbances import Fate, plan_disturbances
from drill.evidence import Row, Told
from drill.examine import Findings, examine
from drill.market import open_market
from drill.options import Options
from drill.report import Check, Money, Report
from drill.stage import Stage
from drill.stories import Story, plan_stories

_STEP_SECONDS = 30.0
_MOST_STEPS = 200
"""Steps of simulated time in the end, while the simulator still has something due."""

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 3.0

Say = Callable[[str, float], None]
"""Told what is going on, and which share of it is done."""


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
        self._stage = Stage(options, folder)
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
        with closing(Caller(self._stage.web_port)) as caller:
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
        fate = Fate(stage, plan_disturbances(options, len(self._plan)), lambda: crowd.begun)
        began = time.time()
        fate.start()
        crowd.run(self._tell_stories(world), lambda: self._look(crowd))
        fate.stop()
        shopped = time.time()
        self._settle(world.notes, units)
        settled = time.time()
        with stage.database.reading() as session:
            findings = examine(session, self.told, utc_now())
        stage.stop_shop()
        pace = self._pace(findings.movements, began, crowd.all_begun_at or shopped)
        times = Times(pace, shopped - began, settled - shopped)
        return self._report(findings, world.notes, crowd, fate, times)

    def examine(self, session: Session) -> Findings:
        """Look again at what is in the database now."""
        return examine(session, self.told, utc_now())

    # --- shopping ---

    def _tell_stories(self, world: World) -> Iterator[Callable[[], Steps[None]]]:
        for number, story in enumerate(self._plan):
            yield partial(_tell, story, world, number)

    def _look(self, crowd: Crowd) -> None:
        self._say("buying and paying", crowd.begun / len(self._plan))

    # --- settling ---

    def _settle(self, notes: Notes, units: dict[int, int]) -> None:
        """Let all happen that is still to happen, until nothing is left or patience is."""
        stage = self._stage
        self._wait(lambda: stage.is_up, "waiting for what was killed")
        if self.options.hurry:
            self._end_leases()
        for step in range(_MOST_STEPS):
            if not stage.safaricom.count_to_come():
                break
            self._say("letting simulated time pass", step / _MOST_STEPS)
            stage.safaricom.advance(_STEP_SECONDS)
        self.told = self._ask_simulator(notes, units)
        self._wait(self._is_quiet, "waiting until nothing is open")
        self._wait(self._is_explained, "waiting for what is planned", every=_LOOK_SECONDS)

    def _wait(
        self, condition: Callable[[], bool], what: str, *, every: float = _POLL_SECONDS
    ) -> bool:
        """Whether the condition came true before the end of all patience."""
        began, patience = time.monotonic(), self.options.patience_seconds
        while not condition():
            passed = time.monotonic() - began
            if passed > patience:
                return False
            self._say(what, min(passed / patience, 1.0))
            time.sleep(every)
        return True

    def _end_leases(self) -> None:
        """As if the minute were over for which a dead worker keeps a payment to itself."""
        now = utc_now()
        with self._stage.database.transaction() as session:
            for table in (Payment, Refund):
                session.execute(
                    update(table).where(table.leased_until > now).values(leased_until=now)
                )

    def _ask_simulator(self, notes: Notes, units: dict[int, int]) -> Told:
        safaricom = self._stage.safaricom
        safaricom.mark_time()
        return Told(
            moved=safaricom.movements(),
            prompts=Counter(one["phone"] for one in safaricom.prompts()),
            prompts_asked=notes.prompts_asked,
            orders=notes.orders,
            transactions=notes.transactions,
            units=units,
        )

    def _is_quiet(self) -> bool:
        """No attempt is looked at any more, no message waits, no order outlives its time."""
        now = utc_now()
        open_attempt = exists().where(
            Payment.status.in_(LIVE_STATES), Payment.next_check_at.is_not(None)
        )
        open_refund = exists().where(
            Refund.state.in_(LIVE_REFUNDS),
            Refund.kind != RefundKind.BY_HAND,
            Refund.next_check_at.is_not(None),
        )
        unread = exists().where(InboxMessage.processed_at.is_(None))
        live = exists().where(Payment.order_id == Order.id, Payment.status.in_(LIVE_STATES))
        overdue = exists().where(
            Order.status == OrderStatus.PENDING, Order.expires_at <= now, ~live
        )
        with self._stage.database.reading() as session:
            return not session.scalar(select(open_attempt | open_refund | unread | overdue))

    def _is_explained(self) -> bool:
        """Nothing is wrong, or no look is planned that could still explain it."""
        with self._stage.database.reading() as session:
            if all(check.holds for check in self.examine(session).checks):
                return True
            planned = exists().where(Payment.next_check_at.is_not(None))
            planned_too = exists().where(Refund.next_check_at.is_not(None))
            return not session.scalar(select(planned | planned_too))

    # --- reporting ---

    def _report(
        self,
        findings: Findings,
        notes: Notes,
        crowd: Crowd,
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
            returned=_sum(-one.cents for one in findings.movements if one.cents < 0),
            booked=_sum(one.cents for _, one in comparison.matched if one.cents > 0),
            held=_sum(one.cents for one in comparison.held if one.cents > 0),
            held_back=_sum(-one.cents for one in comparison.held if one.cents < 0),
            disputed=_sum(abs(one.cents) for one in comparison.disputed),
            owed=findings.owed,
            checks=[*findings.checks, *self._check_drill(notes, crowd, fate)],
            settle_p50_seconds=_quantile(waits, 50),
            settle_p99_seconds=_quantile(waits, 99),
            payments_a_second=times.payments_a_second,
            shopping_seconds=times.shopping_seconds,
            settling_seconds=times.settling_seconds,
            disturbances=fate.done,
            refusals=notes.refusals,
        )

    def _check_drill(self, notes: Notes, crowd: Crowd, fate: Fate) -> list[Check]:
        """That the shop called nothing its own fault, nothing died but what was killed, and the
        drill did what it meant to do.
        """
        deaths = [
            Row(one.name, f"ended with {one.exit_code}: {one.last_words}")
            for one in self._stage.supervisor.deaths
        ]
        broken = [Row("story", trace) for trace in crowd.broken]
        failed = [Row("disturbance", trace) for trace in fate.failed]
        return [
            Check("answers of 500", notes.refusals["internal"]),
            Check("processes that died unkilled", len(deaths), deaths),
            Check("stories that broke off", len(broken), broken),
            Check("disturbances that failed", len(failed), failed),
        ]

    def _pace(self, movements: Sequence[Movement], began: float, all_begun: float) -> float:
        """Payments a second until the last customer came."""
        clock = self._stage.safaricom.time
        moments = [clock.real(one.moved_at) for one in movements if one.cents > 0]
        return sum(one.timestamp() <= all_begun for one in moments) / (all_begun - began)

    def _times_to_settle(self, comparison: Comparison) -> list[float]:
        """Real seconds from the moment when money moved to its row in the ledger."""
        clock = self._stage.safaricom.time
        return sorted(
            max(0.0, (booking.booked_at - clock.real(movement.moved_at)).total_seconds())
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
