"""The drill on several machines: customers come for as long as there is trouble."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from sqlalchemy import select

from app.models import WorkerHeartbeat
from drill.buyer import Buyer, Notes, Steps, World
from drill.crowd import Crowd
from drill.disturbances import Appointment, Fate
from drill.hosts.callers import ManyHosts
from drill.hosts.options import HostsOptions
from drill.hosts.town import WEB_PORT, Town
from drill.hosts.troubles import PROOFS, Troubles
from drill.rehearsal import Rehearsal
from drill.report import Check
from drill.settling import Say
from drill.stories import STORIES, Story
from drill.wrongs import Row

_IDLE = "idle worker hosts"
_FIRST_CUSTOMERS = 3


class HostsRehearsal(Rehearsal):
    """``rounds`` of the options is how often each trouble comes."""

    def __init__(self, options: HostsOptions, folder: Path, say: Say) -> None:
        self.town = Town(options, folder)
        self.callers = ManyHosts(
            {host.name: (host.address, WEB_PORT) for host in self.town.web_hosts}
        )
        self.troubles = Troubles(self.town, self.callers)
        self._is_short = options.is_short
        super().__init__(options, folder, say)

    def _make_stage(self, _folder: Path) -> Town:
        return self.town

    def _make_caller(self) -> ManyHosts:
        return self.callers

    def _plan_disturbances(self) -> list[Appointment]:
        """One after the other, from when the first customers have gone."""
        rounds = self.options.rounds or 1
        return [
            Appointment(_FIRST_CUSTOMERS, number, one)
            for number in range(rounds)
            for one in self.troubles.plan(is_short=self._is_short)
        ]

    def _tell_stories(self, world: World) -> Iterator[Callable[[], Steps[None]]]:
        yield from super()._tell_stories(world)
        dice = Random(f"{self.options.seed}/more")
        more = [one for one in STORIES if one.name != "rush"]  # of what it storms, none is left
        while self._fate.is_alive():
            story = dice.choices(more, [one.weight for one in more])[0]
            self._plan.append(story)
            yield partial(_tell, story, world, len(self._plan) - 1)

    def _look(self, crowd: Crowd) -> None:
        done = self._fate.done.total() + len(self._fate.failed)
        planned = len(self._plan_disturbances())
        now = self._fate.now or "no trouble"
        self._say(f"{crowd.told:,} stories told, {now}", done / planned)

    def _check_drill(
        self, notes: Notes, crowd: Crowd, fate: Fate, unread: str | None
    ) -> list[Check]:
        found = self.troubles.findings
        rows = {**{name: found[name] for name in PROOFS}, _IDLE: self._find_idle()}
        return [
            *super()._check_drill(notes, crowd, fate, unread),
            *(Check(name, len(wrong), wrong) for name, wrong in rows.items()),
        ]

    def _find_idle(self) -> Sequence[Row]:
        with self.town.database.reading() as session:
            swept = set(session.scalars(select(WorkerHeartbeat.host)))
        return [
            Row(host.name, f"only {', '.join(sorted(swept)) or 'nobody'} did")
            for host in self.town.work_hosts
            if host.name not in swept
        ]


def _tell(story: Story, world: World, number: int) -> Steps[None]:
    return story.tell(Buyer(world, number))
