"""Which payments are looked at, when, by whom, and what happens when nobody knows."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from app.models import Notification, Pace, Payment, PaymentState, Task
from app.ports import PushStatus, Verdict
from app.services.confirm_payment import confirm_payment
from app.services.due_payments import (
    claim_due_payments,
    claim_payment,
    note_no_verdict,
    postpone_check,
    reserve_query_slot,
)
from app.services.payment_history import make_checks_due, read_payment_history
from app.services.record_push import record_silence
from app.services.settle_payment import settle_payment
from tests.core import (
    SCHEDULE,
    after,
    ask_to_pay,
    buy,
    is_clean,
    make_buyer,
    pay,
    payment_steps,
    snapshot,
    task_kinds,
)
from tests.factories import NOW, make_product
from tests.services.test_settle_payment import QUERIED

TWO_SECONDS = timedelta(seconds=2)
NO_VERDICT = PushStatus(Verdict.NONE, "4999", "processing")


@pytest.fixture
def order(session):
    return buy(session, make_buyer(session), (make_product(session, price_cents=149_950), 1))


@pytest.fixture
def payment(session, order):
    return ask_to_pay(session, order)


@pytest.fixture
def unanswered(session, order):
    payment = ask_to_pay(session, order, pushed=False)
    record_silence(session, payment.id, "timeout", NOW)
    session.refresh(payment)
    return payment


def set_jitter(monkeypatch, share: float) -> None:
    monkeypatch.setattr("app.services.due_payments.random.uniform", lambda _low, high: high * share)


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (0, 30),
        (29.5, 0.5),
        (30, 15),
        (45, 15),
        (60, 30),
        (90, 30),
        (120, 60),
        (180, 120),
        (300, 600),
        (900, 900),
        (1800, 1800),
        (3600, 3600),
        (50_000, 3600),
    ],
)
def test_checks_follow_the_schedule_within_a_tenth(payment, monkeypatch, age, wait):
    now = after(seconds=age)
    for share in (0, 0.5, 1):
        set_jitter(monkeypatch, share)
        expected = now + timedelta(seconds=wait * (1 + 0.1 * share))
        assert SCHEDULE.next_check(payment.created_at, now) == expected


def test_the_last_check_falls_on_the_moment_of_giving_up(payment, monkeypatch):
    set_jitter(monkeypatch, 1)

    assert SCHEDULE.next_check(payment.created_at, after(hours=23, minutes=30)) == after(days=1)


def test_the_jitter_stays_within_its_bounds(payment):
    waits = {
        (SCHEDULE.next_check(payment.created_at, NOW) - NOW).total_seconds() for _ in range(200)
    }

    assert min(waits) >= 30
    assert max(waits) <= 33
    assert len(waits) > 100


def test_no_verdict_early_plans_the_next_look_and_keeps_the_state(session, payment, monkeypatch):
    set_jitter(monkeypatch, 0)
    payment.leased_until = after(hours=1)
    assert note_no_verdict(session, payment.id, "4999", SCHEDULE, after(seconds=31)) == after(
        seconds=45
    )

    assert (payment.status, payment.check_count, payment.leased_until) == (
        PaymentState.PENDING,
        1,
        None,
    )
    assert payment.next_check_at == after(seconds=45)
    assert payment_steps(session, payment)[-1] == ("created", "pending", "push")


def test_a_created_payment_is_unknown_at_its_first_look(session, order, monkeypatch):
    set_jitter(monkeypatch, 0)
    payment = ask_to_pay(session, order, pushed=False)
    note_no_verdict(session, payment.id, "no id", SCHEDULE, after(seconds=30))

    assert payment.status == PaymentState.UNKNOWN
    assert payment_steps(session, payment)[-1] == ("created", "unknown", "reconciler")
    assert payment.next_check_at == after(seconds=45)


def test_a_pending_payment_is_unknown_after_three_minutes_and_not_before(session, payment):
    note_no_verdict(session, payment.id, "4999", SCHEDULE, after(seconds=179.9))
    assert payment.status == PaymentState.PENDING

    note_no_verdict(session, payment.id, "4999", SCHEDULE, after(seconds=180))
    assert payment.status == PaymentState.UNKNOWN
    assert payment.customer_message == (
        "M-Pesa has not told us yet whether this was paid. Do not pay again; we keep asking."
    )
    steps = payment_steps(session, payment)
    note_no_verdict(session, payment.id, "4999", SCHEDULE, after(seconds=200))
    assert payment_steps(session, payment) == steps
    assert is_clean(session)


def test_a_push_that_nobody_answered_is_let_go_after_a_quarter_of_an_hour(
    session, order, unanswered
):
    note_no_verdict(session, unanswered.id, "no id", SCHEDULE, after(seconds=899))
    assert unanswered.status == PaymentState.UNKNOWN

    assert note_no_verdict(session, unanswered.id, "no id", SCHEDULE, after(seconds=900)) is None
    assert (unanswered.status, unanswered.next_check_at, unanswered.finished_at) == (
        PaymentState.FAILED,
        None,
        after(seconds=900),
    )
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.dedupe_key) == ("unknown_payment", f"no_answer:{unanswered.id}")
    assert "KES 1500" in task.description
    assert unanswered.msisdn not in task.description
    assert session.scalars(select(Notification.kind)).all() == ["payment_failed"]
    assert is_clean(session, after(days=3))

    once = snapshot(session)
    assert note_no_verdict(session, unanswered.id, "no id", SCHEDULE, after(seconds=901)) is None
    assert snapshot(session) == once
    assert pay(session, unanswered, after(seconds=910)) == "settled"
    session.refresh(order)
    assert order.status == "paid"
    assert is_clean(session, after(days=3))


@pytest.mark.parametrize("state", [PaymentState.PENDING, PaymentState.UNKNOWN])
def test_after_a_day_a_person_is_given_all_that_is_known(session, payment, state):
    payment.status = state
    payment.check_count = 30
    assert note_no_verdict(session, payment.id, "4999 busy", SCHEDULE, after(days=1)) is None

    assert (payment.status, payment.next_check_at) == (PaymentState.UNKNOWN, None)
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.dedupe_key) == ("unknown_payment", f"unknown_payment:{payment.id}")
    for known in ("31 times", "4999 busy", payment.checkout_request_id, "2026-11-22 09:00 UTC"):
        assert known in task.description
    assert is_clean(session, after(days=9))


def test_what_is_settled_or_held_is_not_planned_again(session, order, payment):
    payment.review_reason = "wrong_amount"
    assert note_no_verdict(session, payment.id, "4999", SCHEDULE, after(hours=1)) is None
    assert (payment.next_check_at, payment.status) == (None, PaymentState.PENDING)

    payment.review_reason = None
    payment.status = PaymentState.CANCELLED
    payment.next_check_at = after(hours=1)
    assert note_no_verdict(session, payment.id, "4999", SCHEDULE, after(hours=1)) is None
    assert (payment.next_check_at, payment.check_count) == (None, 0)


def test_a_callback_during_a_query_without_verdict_is_still_confirmed_later(session, payment):
    payment.leased_until = after(minutes=1)
    pay(session, payment, after(seconds=31))
    assert note_no_verdict(session, payment.id, "4999", SCHEDULE, after(seconds=32)) is None

    assert (payment.next_check_at, payment.leased_until) == (after(seconds=36), None)


def test_due_payments_are_leased_to_one_worker_and_come_back_if_it_dies(session):
    product = make_product(session, stock=9)
    first, second, third = (
        ask_to_pay(session, buy(session, make_buyer(session), (product, 1))) for _ in range(3)
    )
    postpone_check(session, second.id, after(seconds=10))
    postpone_check(session, third.id, after(seconds=31))

    at = after(seconds=30)
    assert claim_due_payments(session, at, limit=25, lease_seconds=60) == [second.id, first.id]
    assert claim_due_payments(session, at, limit=25, lease_seconds=60) == []
    assert claim_payment(session, first.id, at, 60) is False
    assert claim_due_payments(session, after(seconds=89), limit=1, lease_seconds=60) == [third.id]
    assert claim_due_payments(session, after(seconds=90), limit=1, lease_seconds=60) == [second.id]
    assert claim_payment(session, first.id, after(seconds=90), 60) is True


def test_a_payment_that_is_not_due_is_not_claimed(session, payment):
    before = snapshot(session)
    assert claim_payment(session, payment.id, after(seconds=29), 60) is False
    assert claim_payment(session, 999_999, after(seconds=31), 60) is False
    postpone_check(session, payment.id, None)
    assert claim_payment(session, payment.id, after(days=1), 60) is False
    postpone_check(session, payment.id, after(seconds=30))
    assert snapshot(session) == before


def test_queries_keep_their_pace_and_leave_free_what_lies_too_far_ahead(session):
    slots = [reserve_query_slot(session, NOW, 2, TWO_SECONDS) for _ in range(8)]

    assert slots == [
        (NOW, True),
        (after(seconds=0.5), True),
        (after(seconds=1), True),
        (after(seconds=1.5), True),
        (after(seconds=2), True),
        (after(seconds=2.5), False),
        (after(seconds=2.5), False),
        (after(seconds=2.5), False),
    ]
    assert reserve_query_slot(session, after(seconds=2.5), 2, TWO_SECONDS) == (
        after(seconds=2.5),
        True,
    )
    assert reserve_query_slot(session, after(hours=1), 2, TWO_SECONDS) == (after(hours=1), True)
    assert session.scalars(select(Pace.name)).all() == ["mpesa_query"]


def test_a_confirmed_payment_is_asked_about_no_more(session, payment):
    pay(session, payment)
    confirm_payment(session, payment.id, PushStatus(Verdict.PAID, "0", "Done"), after(seconds=5))

    assert (payment.status, payment.next_check_at, payment.check_count) == (
        PaymentState.SUCCEEDED,
        None,
        1,
    )
    assert payment_steps(session, payment)[-1] == ("succeeded", "succeeded", "query")
    assert task_kinds(session) == []


def test_a_query_that_contradicts_a_callback_moves_nothing_but_a_person(session, order, payment):
    pay(session, payment)
    denial = PushStatus(Verdict.FAILED, "1032", "Cancelled by user")
    for _ in range(2):
        confirm_payment(session, payment.id, denial, after(seconds=5))

    assert (payment.status, payment.next_check_at, order.status) == (
        PaymentState.SUCCEEDED,
        None,
        "paid",
    )
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.title) == (
        "disputed_payment",
        f"Do not ship order {order.number} before you have looked",
    )
    assert is_clean(session)


def test_a_confirmation_without_verdict_is_tried_five_times(session, payment):
    pay(session, payment)
    planned = []
    for _ in range(5):
        confirm_payment(session, payment.id, NO_VERDICT, NOW)
        planned.append(payment.next_check_at)

    assert planned == [*(after(seconds=30 * times) for times in (1, 2, 3, 4)), None]
    assert payment_steps(session, payment)[-1] == ("pending", "succeeded", "callback")


def test_only_a_settled_payment_is_confirmed(session, payment):
    before = snapshot(session)
    confirm_payment(session, payment.id, PushStatus(Verdict.FAILED, "1", "no"), NOW)

    assert snapshot(session) == before


def test_open_payments_can_be_made_due_by_hand(session, order, payment):
    other = buy(session, make_buyer(session), (make_product(session), 1))
    second = ask_to_pay(session, other)
    held = ask_to_pay(session, buy(session, make_buyer(session), (make_product(session), 1)))
    session.execute(update(Payment).where(Payment.id == held.id).values(review_reason="x"))

    assert make_checks_due(session, after(seconds=1)) == [payment.id, second.id]
    assert claim_payment(session, payment.id, after(seconds=1), 60) is True
    settle_payment(session, second.id, QUERIED, after(seconds=2))
    assert make_checks_due(session, after(seconds=3), second.id) == []
    assert [e.to_status for e in read_payment_history(session, second.id).events] == [
        "created",
        "pending",
        "succeeded",
    ]
