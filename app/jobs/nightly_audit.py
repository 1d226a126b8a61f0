"""The audit, once a night: what it finds becomes a task, which is closed when it is gone."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from app.jobs.turns import take_turn
from app.jobs.work import Work
from app.services.audit import INVARIANTS, Finding, checks_of, file_findings
from app.services.paces import move_pace
from app.utils.clock import next_hour_in_nairobi

AUDIT_PACE = "nightly_audit"
HOUR = 3
LEASE_SECONDS = 3600.0

log = structlog.get_logger(__name__)


def audit_when_due(work: Work) -> None:
    """Audit if it is time and no other worker is at it; one that fails is tried in an hour."""
    if not take_turn(work, AUDIT_PACE, LEASE_SECONDS):
        return
    audit_nightly(work)
    with work.database.transaction() as session:
        now = work.now()
        move_pace(session, AUDIT_PACE, next_hour_in_nairobi(now, HOUR), now)


def audit_nightly(work: Work) -> list[Finding]:
    """Look for everything that is broken, and file it. Answers what is new.

    Each check reads in a transaction of its own. Rows may move between two questions of one check,
    so that only what is found a second time counts.
    """
    now = work.now()
    suspects = _look(work, now, range(_how_many(work, now)))
    found = _look(work, now, sorted(suspects)) if suspects else {}
    findings = [
        finding
        for number, seen in found.items()
        for finding in seen
        if _key(finding) in {_key(earlier) for earlier in suspects[number]}
    ]
    with work.database.transaction() as session:
        fresh = file_findings(session, findings, INVARIANTS, now)
    for finding in fresh:
        log.error(
            "invariant_broken",
            invariant=finding.invariant,
            subject=finding.subject,
            detail=finding.detail,
        )
    return fresh


def _how_many(work: Work, now: datetime) -> int:
    with work.database.reading() as session:
        return len(checks_of(session, now))


def _look(work: Work, now: datetime, numbers: Sequence[int]) -> dict[int, list[Finding]]:
    """What these checks find, by the number of each that finds something."""
    found = {}
    for number in numbers:
        with work.database.reading(may_pause=True) as session:
            if seen := list(checks_of(session, now)[number]()):
                found[number] = seen
    return found


def _key(finding: Finding) -> tuple[str, str]:
    return finding.invariant, finding.subject
