"""Each morning the day before is compared, once, and what is not clear is told."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.jobs.daily_report import REPORT_PACE, report_when_due, report_yesterday
from app.models import Notification, Pace, StatementImport, StatementSource, Task
from app.policies import Role
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.reconciliation import day_span
from app.utils.clock import EAT, next_hour_in_nairobi
from tests.core import after, buy, database_snapshot, make_buyer
from tests.factories import make_product, make_user

MORNING = datetime(2026, 11, 23, 7, 0, tzinfo=EAT)


@pytest.fixture
def clock(clock):
    clock.now = MORNING
    return clock


@pytest.fixture
def admin(database):
    with database.transaction() as session:
        return make_user(session, Role.ADMIN)


@pytest.fixture
def paid_yesterday(database, admin):
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        facts = ReceiptFacts("UKM0000PAY", 150_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    return order


def read_in(database, span) -> None:
    with database.transaction() as session:
        session.add(
            StatementImport(
                source=StatementSource.FILE,
                covers_from=span.since,
                covers_to=span.until,
                created_at=MORNING,
                finished_at=MORNING,
            )
        )


def told(database) -> list[str]:
    with database.reading() as session:
        rows = select(Notification.title).where(Notification.kind == "reconciliation")
        return list(session.scalars(rows))


def next_report(database) -> datetime:
    with database.reading() as session:
        return session.get_one(Pace, REPORT_PACE).next_at


def test_yesterday_is_compared_filed_and_told(work, database, paid_yesterday):
    yesterday = day_span(datetime(2026, 11, 22, tzinfo=EAT).date())
    read_in(database, yesterday)
    report = report_yesterday(work)

    assert report.span == yesterday
    assert report.payments.missing_there.count == 1
    assert told(database) == ["M-Pesa's books of 2026-11-22 are not clear"]
    with database.reading() as session:
        (task,) = session.scalars(select(Task))
    assert task.dedupe_key == "missing_there:UKM0000PAY"


def test_the_sweep_makes_the_report_once_a_day(work, database, clock, paid_yesterday):
    report_when_due(work)
    once = database_snapshot(database)
    report_when_due(work)
    clock.advance(hours=23, minutes=59)
    report_when_due(work)
    assert database_snapshot(database) == once
    assert next_report(database) == MORNING + timedelta(days=1)
    clock.advance(minutes=1)
    report_when_due(work)
    assert next_report(database) == MORNING + timedelta(days=2)


def test_a_report_that_dies_is_made_again_and_told_once(
    work, database, clock, paid_yesterday, monkeypatch
):
    def die(*_):
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("app.jobs.daily_report.file_differences", die)
        with pytest.raises(KeyError):
            report_when_due(work)
    assert told(database) == []
    report_when_due(work)  # its lease is not over yet
    assert told(database) == []
    clock.advance(minutes=10)
    report_when_due(work)
    assert told(database) == ["M-Pesa's books of 2026-11-22 are not clear"]


@pytest.mark.parametrize(
    ("now", "at"),
    [
        ((22, 6, 59, 59), (22, 7)),
        ((22, 7, 0, 0), (23, 7)),
        ((22, 23, 59, 59), (23, 7)),
        ((23, 0, 0, 0), (23, 7)),
    ],
)
def test_the_next_hour_is_nairobis_and_never_now(now, at):
    moment = datetime(2026, 11, *now, tzinfo=EAT)
    assert next_hour_in_nairobi(moment, 7) == datetime(2026, 11, *at, tzinfo=EAT)
