"""Asking what became of a prompt: when due, one at a time, at a pace, and to an end."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.jobs.check_payment import (
    BATCH,
    LEASE_SECONDS,
    check_due_payments,
    check_payment,
    failure_of,
    look_again_after,
    schedule_of,
)
from app.models import Notification, Order, Pace, Payment, PaymentState, Task
from app.services.due_payments import claim_payment
from app.services.fail_payment import fail_payment
from tests.core import (
    SCHEDULE,
    after,
    ask_to_pay,
    buy,
    database_snapshot,
    make_buyer,
    pay,
    payment_steps,
    push_ids,
    task_kinds,
)
from tests.factories import NOW, make_product
from tests.looking import is_sound


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr("app.services.due_payments.random.uniform", lambda _low, _high: 0.0)


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


@pytest.fixture
def payment(database, order):
    with database.transaction() as session:
        return ask_to_pay(session, order)


def id_of(payment: Payment) -> str:
    return push_ids(payment.id)[1]


def stored(database, payment) -> Payment:
    with database.reading() as session:
        return session.get_one(Payment, payment.id)


def test_the_schedule_is_the_settings(work):
    assert replace(schedule_of(work), check_seconds=SCHEDULE.check_seconds) == SCHEDULE
    assert tuple(schedule_of(work).check_seconds) == tuple(SCHEDULE.check_seconds)


def test_a_payment_is_not_asked_about_before_its_time(work, database, clock, gateway, payment):
    before = database_snapshot(database)
    clock.advance(seconds=29.9)
    check_payment(work, payment.id)
    check_due_payments(work)

    assert gateway.queries == []
    assert database_snapshot(database) == before


def test_a_query_that_says_paid_pays_the_order_once(work, database, clock, gateway, payment):
    gateway.says(id_of(payment), "0", "The service request is processed successfully.")
    clock.advance(seconds=30)
    check_payment(work, payment.id)
    once = database_snapshot(database)

    kept = stored(database, payment)
    assert (kept.status, kept.mpesa_receipt, kept.next_check_at, kept.leased_until) == (
        PaymentState.SUCCEEDED,
        None,
        None,
        None,
    )
    check_payment(work, payment.id)
    check_due_payments(work)
    assert gateway.queries == [id_of(payment)]
    assert database_snapshot(database) == once
    assert is_sound(database, clock())


@pytest.mark.parametrize(
    "case",
    [
        ("1032", "cancelled", [], None),
        ("1037", "failed", [], after(seconds=30 + 180)),
        ("2028", "failed", ["mpesa_configuration"], None),
    ],
)
def test_a_query_that_says_failed_ends_the_payment(work, database, clock, gateway, payment, case):
    code, status, alerts, next_check = case
    gateway.says(id_of(payment), code)
    clock.advance(seconds=30)
    check_due_payments(work)

    kept = stored(database, payment)
    assert (kept.status, kept.result_code, kept.next_check_at) == (status, code, next_check)
    assert kept.leased_until is None
    assert kept.result_desc
    with database.reading() as session:
        assert task_kinds(session) == alerts
        assert session.scalars(select(Notification.kind)).all() == ["payment_failed"]
    assert is_sound(database, clock())


@pytest.mark.parametrize("source", ["query", "callback"])
def test_money_that_moved_after_the_time_had_run_out_is_found_by_a_second_look(
    work, database, clock, gateway, payment, source
):
    """The phone was not reached, then it was, and the second report was lost."""
    clock.advance(seconds=30)
    _run_out_of_time(work, database, clock, gateway, payment, source)
    assert stored(database, payment).status == PaymentState.FAILED
    gateway.says(id_of(payment), "0", "Done")
    clock.advance(seconds=179)
    check_due_payments(work)
    assert stored(database, payment).status == PaymentState.FAILED
    clock.advance(seconds=1)
    check_due_payments(work)

    kept = stored(database, payment)
    assert (kept.status, kept.next_check_at) == (PaymentState.SUCCEEDED, None)
    with database.reading() as session:
        assert session.get_one(Order, payment.order_id).status == "paid"
    assert is_sound(database, clock())


@pytest.mark.parametrize("code", ["1019", "1036", "1037"])
def test_a_prompt_whose_time_ran_out_is_asked_about_once_more_and_then_let_be(
    work, database, clock, gateway, payment, code
):
    gateway.says(id_of(payment), code)
    clock.advance(seconds=30)
    check_due_payments(work)
    clock.advance(seconds=180)
    check_due_payments(work)
    once = database_snapshot(database)
    clock.advance(days=1)
    check_due_payments(work)

    assert gateway.queries == [id_of(payment)] * 2
    assert stored(database, payment).next_check_at is None
    assert database_snapshot(database) == once


def test_a_second_look_without_verdict_is_taken_again_until_the_time_is_up(
    work, database, clock, gateway, payment
):
    clock.advance(seconds=30)
    _run_out_of_time(work, database, clock, gateway, payment, "callback")
    clock.advance(seconds=180)
    check_due_payments(work)
    assert stored(database, payment).next_check_at == after(seconds=300)
    clock.advance(days=1)
    check_due_payments(work)

    kept = stored(database, payment)
    assert (kept.status, kept.next_check_at, kept.check_count) == (PaymentState.FAILED, None, 2)
    with database.reading() as session:
        assert task_kinds(session) == []


def test_a_payer_who_cancels_while_we_ask_is_asked_about_no_more(
    work, database, clock, gateway, payment
):
    clock.advance(seconds=30)
    ask = gateway.query

    def answer_late(asked_id):
        with database.transaction() as session:
            failure = failure_of("1032", "Cancelled", source="callback")
            fail_payment(session, payment.id, failure, clock())
        return ask(asked_id)

    gateway.query = answer_late
    check_due_payments(work)
    kept = stored(database, payment)
    assert (kept.status, kept.next_check_at) == (PaymentState.CANCELLED, None)


def _run_out_of_time(work, database, clock, gateway, payment, source):
    if source == "query":
        gateway.says(id_of(payment), "1037")
        check_due_payments(work)
        return
    with database.transaction() as session:
        failure = failure_of("1037", "", source="callback", look_again_after=look_again_after(work))
        fail_payment(session, payment.id, failure, clock())


def test_a_payment_without_verdict_is_asked_about_on_schedule_until_a_person_is_told(
    work, database, clock, gateway, doorbell, payment
):
    asked_at = []
    while True:
        due = stored(database, payment).next_check_at
        if due is None:
            break
        clock.now = due
        asked_at.append((due - NOW).total_seconds())
        check_due_payments(work)

    quarters = [30, 45, 60, 90, 120, 180, 300, 900, 1800, 3600]
    hours = [3600.0 * hour for hour in range(2, 25)]
    assert asked_at == [*quarters, *hours]
    assert len(gateway.queries) == len(asked_at)
    assert doorbell.rings[:3] == [
        ("check_payment", payment.id, 15),
        ("check_payment", payment.id, 15),
        ("check_payment", payment.id, 30),
    ]
    with database.reading() as session:
        assert payment_steps(session, payment)[2:] == [("pending", "unknown", "reconciler")]
        assert task_kinds(session) == ["unknown_payment"]
        assert session.get_one(Order, payment.order_id).status == "pending"
    clock.advance(days=30)
    assert is_sound(database, clock())


def test_a_payment_without_an_id_is_never_queried_and_let_go(work, database, clock, gateway, order):
    with database.transaction() as session:
        payment = ask_to_pay(session, order, pushed=False)
    for seconds in (30, 900):
        clock.now = after(seconds=seconds)
        check_due_payments(work)
        check_due_payments(work)
    check_payment(work, payment.id)

    while (due := stored(database, payment).next_check_at) is not None:
        clock.now = due
        check_due_payments(work)
    assert stored(database, payment).status == "failed"
    assert gateway.queries == []
    with database.reading() as session:
        assert session.scalars(select(Task.dedupe_key)).all() == [f"no_answer:{payment.id}"]
    assert is_sound(database, clock())


def test_a_dead_workers_payment_comes_back_when_its_lease_ends(
    work, database, clock, gateway, payment
):
    clock.advance(seconds=30)
    with database.transaction() as session:
        assert claim_payment(session, payment.id, clock(), LEASE_SECONDS) is True
    check_payment(work, payment.id)
    clock.advance(seconds=LEASE_SECONDS - 1)
    check_due_payments(work)
    assert gateway.queries == []

    clock.advance(seconds=1)
    check_due_payments(work)
    assert gateway.queries == [id_of(payment)]


def test_what_is_beyond_the_pace_is_left_to_the_next_sweep_and_gets_its_turn(
    work, database, clock, gateway, monkeypatch
):
    with database.transaction() as session:
        boots = make_product(session, stock=99)
        for _ in range(BATCH + 3):
            ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)))
    slow = replace(work, config=replace(work.config, mpesa_queries_per_second=2))
    monkeypatch.setattr(
        "app.jobs.query_slot.time.sleep", lambda seconds: clock.advance(seconds=seconds)
    )
    clock.advance(seconds=30)
    started = clock()

    rounds = 0
    while len(gateway.queries) < BATCH + 3:
        check_due_payments(slow)
        clock.advance(seconds=0.5)
        rounds += 1
        assert rounds < 40
    assert len(set(gateway.queries)) == BATCH + 3
    assert (clock() - started).total_seconds() >= (BATCH + 2) / 2
    assert is_sound(database, clock())


def test_every_due_payment_is_asked_about_however_many_batches(work, database, clock, gateway):
    with database.transaction() as session:
        boots = make_product(session, stock=99)
        for _ in range(2 * BATCH + 1):
            ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)))
    clock.advance(seconds=31)

    assert [check_due_payments(work) for _ in range(3)] == [True, True, False]
    assert len(set(gateway.queries)) == len(gateway.queries) == 2 * BATCH + 1
    with database.reading() as session:
        assert session.scalars(select(Pace.name)).all().count("mpesa_query") == 1


def test_a_prompt_that_nobody_told_of_is_asked_about_before_any_that_is_paid(
    work, database, clock, gateway
):
    with database.transaction() as session:
        boots = make_product(session, stock=99)
        for _ in range(BATCH):
            pay(session, ask_to_pay(session, buy(session, make_buyer(session), (boots, 1))), NOW)
    clock.advance(seconds=60)
    with database.transaction() as session:
        open_one = ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)), clock())
    clock.advance(seconds=60)

    assert check_due_payments(work) is True
    assert gateway.queries[0] == id_of(open_one)
    assert len(gateway.queries) == BATCH
    assert check_due_payments(work) is False
    assert len(set(gateway.queries)) == BATCH + 1
    assert is_sound(database, clock())


def test_a_callback_is_held_against_a_query_afterwards(work, database, clock, gateway, payment):
    with database.transaction() as session:
        pay(session, payment, clock())
    clock.advance(seconds=5)
    check_due_payments(work)
    assert stored(database, payment).next_check_at == after(seconds=35)

    gateway.says(id_of(payment), "0", "Done")
    clock.advance(seconds=30)
    check_due_payments(work)
    check_due_payments(work)
    assert gateway.queries == [id_of(payment), id_of(payment)]
    assert stored(database, payment).next_check_at is None
    assert is_sound(database, clock())


@pytest.mark.parametrize("late", [("1032", ["disputed_payment"]), ("0", []), (None, [])])
def test_a_callback_that_comes_while_we_ask_is_not_left_unconfirmed(
    work, database, clock, gateway, payment, late
):
    """The answer to the query was on its way before the callback came."""
    code, tasks = late
    if code:
        gateway.says(id_of(payment), code, "whatever")
    clock.advance(seconds=30)
    ask = gateway.query

    def answer_late(asked_id):
        answer = ask(asked_id)
        with database.transaction() as session:
            assert pay(session, payment, clock()) == "settled"
        return answer

    gateway.query = answer_late
    check_due_payments(work)

    kept = stored(database, payment)
    assert kept.status == PaymentState.SUCCEEDED
    assert kept.next_check_at == (None if code else after(seconds=35))
    with database.reading() as session:
        assert task_kinds(session) == tasks
    assert is_sound(database, clock())


def test_a_code_that_nobody_knows_is_told_in_plain_words():
    failure = failure_of("X9", "", source="callback")

    assert (failure.status, failure.result_code, failure.alert) == ("failed", "X9", False)
    assert failure.result_desc == "a code that we do not know"
    assert len(failure_of("X9", "d" * 900, source="query").result_desc) == 300
