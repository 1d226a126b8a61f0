"""What an operator is shown: counts and ages, exact."""

import pytest
from sqlalchemy import event, update

from app.models import (
    InboxMessage,
    Payment,
    Refund,
    TaskKind,
    WorkerHeartbeat,
)
from app.services.figures.operations import Pile, read_operations
from app.services.heartbeats import note_sweep
from app.services.inbox import ReceivedMessage, finish_message
from app.services.records import Matter, file_task
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, make_product, make_user
from tests.inbox import keep_message

NONE = Pile(0, 0.0)


@pytest.fixture
def boots(session):
    return make_product(session, stock=50, price_cents=10_000)


def attempt(session, boots, moment=NOW) -> Payment:
    return ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)), moment)


def test_an_empty_shop_has_nothing_that_waits(session):
    found = read_operations(session, NOW)
    assert found.attempts == {"created": NONE, "pending": NONE, "unknown": NONE}
    assert found.refunds == {
        "awaiting_approval": NONE,
        "created": NONE,
        "pending": NONE,
        "unknown": NONE,
    }
    assert (found.inbox, found.money_tasks, found.webhooks) == (NONE, NONE, NONE)
    assert (found.payments_last_hour, found.settle_seconds, found.swept_seconds_ago) == ({}, (), {})


def test_open_attempts_are_counted_with_the_age_of_the_first(session, boots):
    first, second = attempt(session, boots), attempt(session, boots)
    session.execute(
        update(Payment).where(Payment.id == first.id).values(status="unknown", created_at=NOW)
    )
    session.execute(
        update(Payment).where(Payment.id == second.id).values(created_at=after(seconds=10))
    )
    found = read_operations(session, after(minutes=2))
    assert found.attempts["unknown"] == Pile(1, 120.0)
    assert found.attempts["pending"] == Pile(1, 110.0)
    assert found.attempts["created"] == NONE
    assert found.payments_last_hour == {"unknown": 1, "pending": 1}
    assert read_operations(session, after(hours=2)).payments_last_hour == {}


def test_unread_reports_are_counted_until_somebody_has_read_them(session, boots):
    payment = attempt(session, boots)
    message = ReceivedMessage("stk_callback", b"{}", {}, None, payment.id)
    kept = keep_message(session, message, NOW)
    keep_message(session, message, after(seconds=30))
    assert read_operations(session, after(seconds=90)).inbox == Pile(2, 90.0)
    finish_message(kept, "applied", after(seconds=91))
    session.flush()
    assert read_operations(session, after(seconds=100)).inbox == Pile(1, 70.0)


def test_matters_of_money_are_told_from_other_tasks(session):
    for number, kind in enumerate([TaskKind.STUCK_MESSAGE, TaskKind.WEBHOOK_FAILING]):
        matter = Matter(kind=kind, title="t", description="d", dedupe_key=f"k{number}")
        file_task(session, matter, NOW)
    assert read_operations(session, after(hours=1)).money_tasks == Pile(1, 3600.0)


def test_the_time_to_settle_runs_from_the_report_to_the_books(session, boots):
    payment = attempt(session, boots)
    keep_message(session, ReceivedMessage("stk_callback", b"{}", {}, None, payment.id), NOW)
    pay(session, payment, after(seconds=3))
    assert read_operations(session, after(minutes=1)).settle_seconds == (3.0,)
    assert read_operations(session, after(hours=2)).settle_seconds == ()


def test_the_last_sweep_of_each_host_is_known(session):
    note_sweep(session, "first", NOW)
    note_sweep(session, "second", after(seconds=50))
    note_sweep(session, "first", after(seconds=40))
    assert session.query(WorkerHeartbeat).count() == 2
    found = read_operations(session, after(seconds=60))
    assert found.swept_seconds_ago == {"first": 20.0, "second": 10.0}


def test_refunds_without_an_end_are_counted_by_their_state(session):
    seller = make_user(session)
    for number, state in enumerate(["unknown", "unknown", "pending", "succeeded", "rejected"]):
        session.add(
            Refund(
                kind="by_hand",
                state=state,
                receipt=f"SBL{number}1XYZ12",
                amount_cents=100,
                reason="Broken",
                requested_by=seller.id,
                created_at=after(seconds=number),
                updated_at=NOW,
            )
        )
    session.flush()
    found = read_operations(session, after(minutes=1)).refunds
    assert found["unknown"] == Pile(2, 60.0)
    assert found["pending"] == Pile(1, 58.0)
    assert found["awaiting_approval"] == found["created"] == NONE


def test_it_takes_eight_queries(session, database):
    asked = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        read_operations(session, NOW)
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    assert len(asked) == 8, asked
    assert all(InboxMessage.__tablename__ not in one or "WHERE" in one for one in asked)
