"""What the audit finds at night is a task for each row, until it is not found any more."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from app.jobs.nightly_audit import AUDIT_PACE, LEASE_SECONDS, audit_nightly, audit_when_due
from app.models import Decision, Pace, Product, Task, TaskStatus
from app.services.audit import Finding, audit, checks_of, file_findings
from app.utils.clock import EAT
from tests.core import database_snapshot, snapshot
from tests.factories import NOW, make_product

pytestmark = pytest.mark.usefixtures("logs")


@pytest.fixture
def product(database):
    with database.transaction() as session:
        return make_product(session, stock=5)


def spoil(database, product, on_hand=9) -> None:
    """Somebody wrote into the table by hand."""
    with database.transaction() as session:
        session.execute(update(Product).where(Product.id == product.id).values(on_hand=on_hand))


def filed(database) -> list[tuple[str, str, str]]:
    with database.reading() as session:
        tasks = session.scalars(select(Task).order_by(Task.id))
        return [(task.kind, task.dedupe_key, task.status) for task in tasks]


def decisions(database) -> list[tuple[str, str]]:
    with database.reading() as session:
        rows = select(Decision.action, Decision.reason).order_by(Decision.id)
        return [tuple(row) for row in session.execute(rows)]


def test_a_sound_shop_gets_no_task(work, database, product):
    before = database_snapshot(database)
    assert audit_nightly(work) == []
    assert database_snapshot(database) == before


def test_a_finding_is_filed_once_and_logged(work, database, product, logs):
    spoil(database, product)
    (finding,) = audit_nightly(work)
    once = database_snapshot(database)
    assert audit_nightly(work) == []

    assert database_snapshot(database) == once
    assert (finding.invariant, finding.subject) == ("I4", f"product {product.id}")
    assert filed(database) == [("broken_invariant", f"invariant:I4:product {product.id}", "todo")]
    with database.reading() as session:
        task = session.scalars(select(Task)).one()
    assert task.title == f"I4 is broken: product {product.id}"
    assert "on_hand 9 and reserved 0" in task.description
    assert (task.payment_id, task.order_id, task.receipt) == (None, None, None)
    assert [entry["subject"] for entry in logs if entry["event"] == "invariant_broken"] == [
        f"product {product.id}"
    ]


def test_what_is_gone_is_solved_by_itself(work, database, product):
    spoil(database, product)
    audit_nightly(work)
    spoil(database, product, on_hand=5)
    audit_nightly(work)

    assert [status for _, _, status in filed(database)] == ["done"]
    assert decisions(database) == [("gone", "The audit does not find it any more.")]


def test_what_comes_back_or_was_only_called_done_is_open_again(work, database, product):
    spoil(database, product)
    audit_nightly(work)
    with database.transaction() as session:
        session.execute(update(Task).values(status=TaskStatus.DONE))
    (finding,) = audit_nightly(work)

    assert [status for _, _, status in filed(database)] == ["todo"]
    assert decisions(database) == [("found_again", f"The audit found it again: {finding.detail}")]


def test_tasks_of_other_kinds_are_left_alone(work, database, product):
    with database.transaction() as session:
        session.add(
            Task(
                kind="late_money",
                title="Refund",
                dedupe_key="late_money:7",
                created_at=NOW,
                updated_at=NOW,
            )
        )
    before = database_snapshot(database)
    audit_nightly(work)
    assert database_snapshot(database) == before


def test_what_is_there_at_one_look_and_not_at_the_next_is_no_finding(work, database, product):
    """A row may move between two questions of one check."""
    looks = iter(range(1_000))
    spoil(database, product)

    @contextmanager
    def mended_in_between(**how):
        if next(looks) == number_of_checks(database) + 1:
            spoil(database, product, on_hand=5)
        with database.reading(**how) as session:
            yield session

    seen = replace(work, database=_Read(database, mended_in_between))
    assert audit_nightly(seen) == []
    assert filed(database) == []


class _Read:
    def __init__(self, database, reading) -> None:
        self.reading, self.transaction = reading, database.transaction


def number_of_checks(database) -> int:
    with database.reading() as session:
        return len(checks_of(session, NOW))


def test_each_check_reads_in_a_transaction_of_its_own(work, database, product):
    opened = []

    @contextmanager
    def counted(**how):
        with database.reading(**how) as session:
            opened.append(session)
            yield session

    audit_nightly(replace(work, database=_Read(database, counted)))
    assert len({id(session) for session in opened}) > 1
    assert len(opened) == number_of_checks(database) + 1


def test_the_sweep_audits_once_a_night(work, database, product, clock):
    audit_when_due(work)
    with database.reading() as session:
        assert session.get_one(Pace, AUDIT_PACE).next_at == datetime(2026, 11, 23, 3, tzinfo=EAT)
    spoil(database, product)
    clock.advance(hours=10)
    audit_when_due(work)
    assert filed(database) == []
    clock.now = datetime(2026, 11, 23, 3, tzinfo=EAT)
    audit_when_due(work)
    assert len(filed(database)) == 1


def test_an_audit_that_fails_is_tried_again_in_an_hour(work, database, product, clock, monkeypatch):
    def die(*_):
        raise KeyError("a bug")

    spoil(database, product)
    with monkeypatch.context() as patched:
        patched.setattr("app.jobs.nightly_audit.file_findings", die)
        with pytest.raises(KeyError):
            audit_when_due(work)
    audit_when_due(work)
    assert filed(database) == []
    clock.advance(seconds=LEASE_SECONDS)
    audit_when_due(work)
    assert len(filed(database)) == 1


def test_the_parts_of_the_audit_are_the_audit(database, product):
    spoil(database, product)
    with database.reading() as session:
        parts = [finding for check in checks_of(session, NOW) for finding in check()]
        assert parts == audit(session, NOW) != []


def test_a_task_about_a_finding_is_no_cure_of_it(database, product):
    """The audit looks for tasks: those of its own say nothing to it."""
    with database.transaction() as session:
        finding = Finding("I7", "payment 1", "pending since long")
        file_findings(session, [finding], {"I7": "no payment stays open"}, NOW)
        task = session.scalars(select(Task)).one()
        assert (task.payment_id, task.refund_id, task.order_id) == (None, None, None)


def test_a_long_subject_still_has_one_task(database, product):
    with database.transaction() as session:
        finding = Finding("I1", "ledger event " + "9" * 300, "does not add up")
        assert file_findings(session, [finding], {}, NOW) == [finding]
        once = snapshot(session)
        assert file_findings(session, [finding], {}, NOW + timedelta(days=1)) == []
        assert snapshot(session) == once
