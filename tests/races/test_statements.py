"""One receipt by every road at once, two workers with one list, two admins with one statement."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.context import WORK
from app.jobs.daily_report import report_when_due
from app.jobs.import_statement import import_statement
from app.jobs.nightly_audit import audit_when_due
from app.jobs.pull_statements import PULL_PACE, pull_statements, pull_when_due
from app.models import (
    LedgerEvent,
    MpesaReceipt,
    Notification,
    Order,
    Pace,
    Payment,
    ReceiptState,
    StatementImport,
    StatementLine,
    Task,
)
from app.policies import Role
from app.services.end_order import cancel_order
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.utils.clock import EAT
from tests.core import SECRET, after, ask_to_pay, buy, make_buyer, push_ids
from tests.factories import actor_of, make_product, make_user
from tests.looking import how_many, is_sound
from tests.races.starting_line import tally, together
from tests.safaricom import callback_body, listed_row
from tests.statements import classic, file_of, paid

RECEIPT = "UKM0000ONE"


@pytest.fixture
def clock(clock):
    clock.advance(hours=1)
    return clock


@pytest.fixture
def work(app, database):
    return replace(app.extensions[WORK], database=database)


@pytest.fixture
def admin(database):
    with database.transaction() as session:
        return actor_of(make_user(session, Role.ADMIN))


def test_one_receipt_by_callback_notice_list_and_statement_at_once_counts_once(
    app, database, work, merchant, admin, clock
):
    for round_ in range(6):
        receipt = f"UKM000000{round_}"
        with database.transaction() as session:
            order = buy(session, make_buyer(session), (make_product(session, stock=1), 1))
            payment = ask_to_pay(session, order)
        merchant.listed = [listed_row(receipt, order.number)]
        anonymous = {"Other Party Info": "", "Details": "Pay Bill Online"}
        statement = classic(paid(receipt, account=order.number, **anonymous), above=[])
        body = callback_body(*push_ids(payment.id), receipt=receipt)

        def call_back(payment=payment, body=body) -> int:
            path = f"/api/pay/cb/{payment.id}.{SECRET.value}"
            return app.test_client().post(path, data=body, buffered=True).status_code

        def notice(receipt=receipt, number=order.number) -> str:
            facts = ReceiptFacts(receipt, 150_000, "c2b", number, after(minutes=1))
            with database.transaction() as session:
                return str(receive_money(session, facts, clock()))

        def read_statement(statement=statement) -> bool:
            return import_statement(work, admin, file_of(statement)).tally.unbooked == 0

        answers = together(
            [
                call_back,
                notice,
                lambda: pull_statements(work)[0].problem,
                read_statement,
                read_statement,
            ]
        )

        assert [one for one in answers if isinstance(one, Exception)] == []
        assert (answers[0], answers[2:]) == (200, ["", True, True])
        with database.reading() as session:
            assert session.get_one(Order, order.id).status == "paid"
            assert session.get_one(MpesaReceipt, receipt).state == ReceiptState.MATCHED
            events = select(LedgerEvent.kind).where(LedgerEvent.order_id == order.id)
            assert session.scalars(events.order_by(LedgerEvent.id)).all() == ["payment", "sale"]
        assert how_many(database, Payment, Payment.order_id == order.id) == 1
        assert how_many(database, StatementLine, StatementLine.receipt == receipt) == 2
        assert is_sound(database, clock())


def test_two_workers_pull_once(database, work, merchant, clock):
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
    merchant.listed = [listed_row(RECEIPT, order.number)]
    together([lambda: pull_when_due(work)] * 4)

    assert len(merchant.pulls) == 2  # one page, and the empty one after it
    assert how_many(database, StatementImport) == 1
    assert is_sound(database, clock())


def test_two_runs_by_hand_at_once_count_once(database, work, merchant, clock):
    with database.transaction() as session:
        boots = make_product(session, stock=40)
        orders = [buy(session, make_buyer(session), (boots, 1)) for _ in range(12)]
    merchant.page_length = 5
    merchant.listed = [listed_row(f"UKM{order.id:07d}", order.number) for order in orders]
    merchant.listed += [listed_row(f"UKS{number:07d}") for number in range(8)]

    def pull() -> str:
        return pull_statements(work)[0].problem

    assert together([pull] * 4) == ["", "", "", ""]
    assert how_many(database, StatementLine) == 20
    assert how_many(database, Order, Order.status == "paid") == 12
    assert how_many(database, Task, Task.kind == "unmatched_money") == 8
    assert is_sound(database, clock())


def test_two_admins_bring_one_statement_in_and_it_counts_once(database, work, admin, clock):
    with database.transaction() as session:
        boots = make_product(session, stock=40)
        orders = [buy(session, make_buyer(session), (boots, 1)) for _ in range(10)]
    lines = [paid(f"UKM{order.id:07d}", account=order.number) for order in orders]
    forwards, backwards = classic(*lines, above=[]), classic(*lines[::-1], above=[])

    def bring(content: bytes) -> int:
        return import_statement(work, admin, file_of(content)).tally.unbooked

    answers = together([lambda one=one: bring(one) for one in (forwards, backwards) * 2])

    assert answers == [0, 0, 0, 0]
    assert how_many(database, StatementLine) == 10
    assert how_many(database, Payment) == 10
    assert is_sound(database, clock())


def test_two_workers_make_one_report_and_one_audit(database, work, admin, clock):
    clock.now = after(days=1).astimezone(EAT)
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        facts = ReceiptFacts(RECEIPT, 150_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    together([lambda: report_when_due(work)] * 4 + [lambda: audit_when_due(work)] * 4)

    assert how_many(database, Notification, Notification.kind == "reconciliation") == 1
    with database.reading() as session:
        names = session.scalars(select(Pace.name).order_by(Pace.name)).all()
    assert [name for name in names if name != PULL_PACE] == ["daily_report", "nightly_audit"]


def test_a_pull_beside_the_end_of_its_order_ends_one_way(database, work, merchant, clock):
    outcomes = set()
    for round_ in range(6):
        receipt = f"UKM000000{round_}"
        with database.transaction() as session:
            buyer = make_buyer(session)
            order = buy(session, buyer, (make_product(session, stock=1), 1))
        merchant.listed = [listed_row(receipt, order.number)]

        def cancel(buyer=buyer, order=order) -> str:
            with database.transaction() as session:
                cancel_order(session, actor_of(buyer), order.id, clock())
            return "cancelled"

        answers = tally(together([cancel, lambda: pull_statements(work)[0].problem]))
        assert answers.pop("") == 1
        with database.reading() as session:
            status = session.get_one(Order, order.id).status
        assert (status, answers) in (
            ("paid", {"order_not_cancellable": 1}),
            ("cancelled", {"cancelled": 1}),
        )
        outcomes.add(status)
        assert is_sound(database, clock())
    assert outcomes <= {"paid", "cancelled"}


def test_a_lease_that_ran_out_is_taken_once(database, work, merchant, clock):
    with database.transaction() as session:
        session.add(Pace(name=PULL_PACE, next_at=clock() - timedelta(minutes=1)))
    together([lambda: pull_when_due(work)] * 6)
    assert len(merchant.pulls) == 1
