"""What the audit finds, as matters for a person: one for each row that breaks an invariant."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Task, TaskKind, TaskStatus
from app.services.audit.finding import Finding
from app.services.records import Matter, file_task, record_decision, solve_tasks

_LONGEST_KEY = 100


def file_findings(
    session: Session, findings: Sequence[Finding], invariants: Mapping[str, str], now: datetime
) -> list[Finding]:
    """File each finding once, open again what was called done and is not, and close what is gone.

    Answers those that are new. The tasks name no payment or order by its id: an audit that counts
    tasks would take the tale of a fault for its cure.
    """
    open_keys = {_key_of(finding) for finding in findings}
    gone = (Task.kind == TaskKind.BROKEN_INVARIANT) & Task.dedupe_key.not_in(open_keys)
    solve_tasks(session, gone, "gone", "The audit does not find it any more.", now)
    return [finding for finding in findings if _file(session, finding, invariants, now)]


def _file(session: Session, finding: Finding, invariants: Mapping[str, str], now: datetime) -> bool:
    rule = invariants.get(finding.invariant, finding.invariant)
    matter = Matter(
        kind=TaskKind.BROKEN_INVARIANT,
        title=f"{finding.invariant} is broken: {finding.subject}"[:200],
        description=f"{finding.subject}: {finding.detail}. The rule is: {rule}. Such a thing must"
        " not happen: keep the logs of that time, and tell whoever looks after the software.",
        dedupe_key=_key_of(finding),
    )
    return file_task(session, matter, now) or _open_again(session, finding, now)


def _open_again(session: Session, finding: Finding, now: datetime) -> bool:
    task = session.scalar(
        select(Task)
        .where(Task.dedupe_key == _key_of(finding), Task.status == TaskStatus.DONE)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if task is None:
        return False
    task.status = TaskStatus.TODO
    task.updated_at = now
    reason = f"The audit found it again: {finding.detail}"
    record_decision(session, task.id, "found_again", reason, now)
    session.flush()
    return True


def _key_of(finding: Finding) -> str:
    return f"invariant:{finding.invariant}:{finding.subject}"[:_LONGEST_KEY]
