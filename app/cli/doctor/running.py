"""Running the checks: each when those it waits for have ended, and for so long and no more."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from app.cli.doctor.exam import Check, Exam, Line, Report
from app.cli.doctor.findings import Finding, Level, fault, skipped

LATE = fault(
    "check_late",
    "{name} did not end within {seconds:g} seconds: whatever it waits for is stuck or very slow.",
    cause="A check has a time limit of its own, and something that it asked has not answered in"
    " it: the network, the database or a disk.",
    cure="Run it alone with `--only` and see whether it stays so. Then look at what it asks: the"
    " line that the manual has about the check says what that is.",
)
BROKE = fault(
    "check_broke",
    "{name} itself broke ({error}): this is a fault of Sokoni's, and says nothing about your shop.",
    cause="A check met what nobody had thought of.",
    cure="Please report it, with the line and the version. The other checks are not touched by it.",
)
KINDS = (LATE, BROKE)
_TICK_SECONDS = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told that a check has ended, and which are running meanwhile."""

    ended: Callable[[Report], None] = lambda _report: None
    waiting: Callable[[Sequence[str]], None] = lambda _names: None


@dataclass(slots=True)
class _Run:
    check: Check
    began: float
    findings: list[Finding] | None = None


def choose(checks: Sequence[Check], only: Iterable[str]) -> list[Check]:
    """Those that are named and all that they build on, in their order; all, if none is named."""
    wanted = set(only)
    if not wanted:
        return list(checks)
    seen: set[str] = set()
    while wanted != seen:  # a check may stand before one that it comes after
        seen = set(wanted)
        wanted.update(name for check in checks if check.name in seen for name in check.waits_for)
    return [check for check in checks if check.name in wanted]


def examine(exam: Exam, checks: Sequence[Check], watcher: Watcher | None = None) -> list[Report]:
    """Every check's report, in the order of ``checks``, which no check waits for the next one in.

    A check that takes too long is left to itself: its thread dies with the process.
    """
    watcher = watcher or Watcher()
    waiting = list(checks)
    running: dict[str, _Run] = {}
    ended: queue.SimpleQueue[_Run] = queue.SimpleQueue()
    while waiting or running:
        for check in [one for one in waiting if _may_begin(one, checks, exam)]:
            waiting.remove(check)
            if (blocker := _find_blocker(check, exam)) is not None:
                _keep(exam, watcher, block(check, blocker))
            else:
                running[check.name] = _begin(check, exam, ended)
        if running:
            watcher.waiting(list(running))
            _collect(exam, watcher, running, ended)
    return [exam.reports[check.name] for check in checks]


def _may_begin(check: Check, checks: Sequence[Check], exam: Exam) -> bool:
    chosen = {one.name for one in checks}
    return all(name in exam.reports for name in check.waits_for if name in chosen)


def _find_blocker(check: Check, exam: Exam) -> str | None:
    """The first check whose own fault stands in the way, however far away."""
    blocker = next((name for name in check.needs if not exam.is_sound(name)), None)
    if blocker is None:
        return None
    return exam.reports[blocker].blocked_by or blocker


def block(check: Check, blocker: str) -> Report:
    line = Line(Level.SKIPPED, Level.SKIPPED, f"what {blocker} found has to be mended first.")
    return Report(check.name, check.group, (line,), 0.0, blocked_by=blocker)


def _begin(check: Check, exam: Exam, ended: "queue.SimpleQueue[_Run]") -> _Run:
    run = _Run(check, exam.monotonic())

    def work() -> None:
        try:
            run.findings = list(check.run(exam))
        except Exception as error:
            log.debug("check_broke", check=check.name, exc_info=True)
            told = exam.quote(f"{type(error).__name__}: {error}")
            run.findings = [BROKE.found(name=check.name, error=told)]
        ended.put(run)

    threading.Thread(target=work, name=check.name, daemon=True).start()
    return run


def _collect(
    exam: Exam, watcher: Watcher, running: dict[str, _Run], ended: "queue.SimpleQueue[_Run]"
) -> None:
    """Take in what has ended, or has had its time."""
    try:
        run = ended.get(timeout=_TICK_SECONDS)
    except queue.Empty:
        run = None
    if run is not None and running.pop(run.check.name, None) is not None:
        _keep(exam, watcher, _report(exam, run, run.findings or []))
    now = exam.monotonic()
    for late in [one for one in running.values() if now - one.began > one.check.limit_seconds]:
        del running[late.check.name]
        finding = LATE.found(name=late.check.name, seconds=late.check.limit_seconds)
        _keep(exam, watcher, _report(exam, late, [finding]))


def _report(exam: Exam, run: _Run, findings: list[Finding]) -> Report:
    production = exam.config.is_production
    lines = tuple(
        Line(one.code, one.level_in(production=production), exam.quoter.hide(one.sentence))
        for one in findings or [skipped("there was nothing to look at.")]
    )
    return Report(run.check.name, run.check.group, lines, exam.monotonic() - run.began)


def _keep(exam: Exam, watcher: Watcher, report: Report) -> None:
    exam.reports[report.name] = report
    watcher.ended(report)
