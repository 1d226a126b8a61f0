"""What Safaricom posts: kept whole, believed as far as its sender and its contents can be."""

import pytest
from sqlalchemy import select

from app.models import InboxMessage, InboxSource, Payment, PaymentState, Task
from app.services.apply_callback import apply_callback, report_unreadable, weigh_unsigned_claim
from app.services.due_payments import claim_payment
from app.services.fail_payment import fail_payment
from app.services.inbox import (
    MAX_ATTEMPTS,
    MAX_BODY_BYTES,
    ReceivedMessage,
    claim_message,
    find_waiting_messages,
    finish_message,
    is_secret_of_payment,
    report_stuck_message,
)
from app.services.payment_evidence import Failure
from app.services.settle_payment import settle_payment
from app.utils.callback_secret import CallbackSecret
from tests.core import (
    SECRET,
    after,
    ask_to_pay,
    books,
    buy,
    differing_tables,
    failed_claim,
    is_clean,
    make_buyer,
    paid_claim,
    pay,
    payment_steps,
    push_ids,
    receipt_of,
    snapshot,
    task_kinds,
    thrown_away,
)
from tests.factories import NOW, make_product
from tests.inbox import keep_message
from tests.services.test_settle_payment import QUERIED

LATER = after(seconds=40)
CANCELLED = Failure("callback", PaymentState.CANCELLED, "1032", "Cancelled", "You cancelled it.")
FAILED = Failure("query", PaymentState.FAILED, "1037", "DS timeout", "We could not reach you.")


@pytest.fixture
def order(session):
    return buy(session, make_buyer(session), (make_product(session, price_cents=149_950), 1))


@pytest.fixture
def payment(session, order):
    return ask_to_pay(session, order)


def message(session, body: bytes = b"{}", **fields) -> InboxMessage:
    values = {"source": InboxSource.UNSIGNED_CALLBACK, "headers": {}, "remote_addr": None}
    return keep_message(session, ReceivedMessage(body=body, **{**values, **fields}), NOW)


def test_a_message_is_kept_byte_for_byte(session, payment):
    kept = message(
        session,
        b'\xff\x00{"a": 1}',
        source=InboxSource.STK_CALLBACK,
        headers={"user-agent": "Jakarta"},
        remote_addr="196.201.214.200",
        payment_id=payment.id,
    )
    session.expire_all()

    assert (kept.body, kept.truncated, kept.headers) == (
        b'\xff\x00{"a": 1}',
        False,
        {"user-agent": "Jakarta"},
    )
    assert (kept.source, kept.payment_id, kept.remote_addr, kept.received_at) == (
        "stk_callback",
        payment.id,
        "196.201.214.200",
        NOW,
    )
    assert (kept.processed_at, kept.attempts, kept.outcome, kept.error) == (None, 0, None, None)


@pytest.mark.parametrize(("extra", "truncated"), [(0, False), (1, True), (5000, True)])
def test_a_body_beyond_the_limit_is_cut_and_marked(session, extra, truncated):
    kept = message(session, b"x" * (MAX_BODY_BYTES + extra))

    assert (len(kept.body), kept.truncated) == (65_536, truncated)


def test_only_the_payments_own_secret_finds_it(session, payment):
    assert is_secret_of_payment(session, payment.id, SECRET)
    assert not is_secret_of_payment(session, payment.id, CallbackSecret("another"))
    assert not is_secret_of_payment(session, payment.id + 1, SECRET)
    assert not is_secret_of_payment(session, payment.id, CallbackSecret(SECRET.hash))


def test_a_processed_message_is_not_claimed_again(session):
    kept = message(session)
    assert claim_message(session, kept.id) is kept
    finish_message(kept, "unreadable", LATER)
    session.flush()

    assert claim_message(session, kept.id) is None
    assert claim_message(session, 999_999) is None
    assert (kept.processed_at, kept.outcome, kept.attempts) == (LATER, "unreadable", 1)


def test_messages_wait_two_seconds_for_the_request_that_brought_them(session):
    first, second, done, hopeless = (message(session) for _ in range(4))
    finish_message(done, "unmatched", NOW)
    hopeless.attempts = MAX_ATTEMPTS
    session.flush()

    assert find_waiting_messages(session, after(seconds=1.9)) == []
    assert find_waiting_messages(session, after(seconds=2)) == [first.id, second.id]
    assert find_waiting_messages(session, after(seconds=2), limit=1) == [first.id]


def test_a_stuck_message_is_told_once_and_counted_each_time(session):
    kept = message(session)
    for error in ("KeyError('a')", "KeyError('b')"):
        report_stuck_message(session, kept.id, error, LATER)
    session.refresh(kept)

    assert (kept.attempts, kept.error, kept.processed_at) == (2, "KeyError('b')", None)
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.dedupe_key) == ("stuck_message", f"stuck_message:{kept.id}")
    assert "KeyError('a')" in task.description
    assert is_clean(session, after(hours=1))


def test_an_unreadable_signed_message_asks_a_person_and_the_query(session, order, payment):
    kept = message(session, b"<xml/>", source=InboxSource.STK_CALLBACK, payment_id=payment.id)
    assert report_unreadable(session, kept, "not JSON", LATER) == "unreadable"
    session.flush()
    once = snapshot(session)

    session.refresh(payment)
    assert (payment.status, payment.next_check_at) == (PaymentState.PENDING, LATER)
    assert task_kinds(session) == ["unreadable_callback"]
    assert payment_steps(session, payment)[-1] == ("pending", "pending", "callback")
    assert report_unreadable(session, kept, "not JSON", LATER) == "unreadable"
    assert snapshot(session) == once


def test_an_unreadable_unsigned_message_moves_nothing(session, payment):
    kept = message(session, b"<xml/>")
    before = snapshot(session)

    assert report_unreadable(session, kept, "not JSON", LATER) == "unreadable"
    assert snapshot(session) == before


def test_attack_82_a_callback_before_the_answer_to_the_push_brings_the_ids(session, order):
    for state in (PaymentState.CREATED, PaymentState.UNKNOWN):
        with thrown_away(session):
            payment = ask_to_pay(session, order, pushed=False)
            payment.status = state
            assert pay(session, payment, LATER) == "settled"
            session.refresh(payment)
            assert (payment.merchant_request_id, payment.checkout_request_id) == push_ids(
                payment.id
            )
            assert (payment.status, payment.next_check_at) == (
                PaymentState.SUCCEEDED,
                after(seconds=45),
            )
            assert is_clean(session)


WRONG_IDS = {
    "another checkout id": {"checkout_request_id": "ws_CO_0"},
    "another merchant id": {"merchant_request_id": "0-0-0"},
    "another shortcode": {"shortcode_fits": False},
}


@pytest.mark.parametrize("claims", ["paid", "failed"])
@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_a_callback_that_names_another_prompt_moves_nothing_but_the_next_check(
    session, order, payment, wrong, claims
):
    make = paid_claim if claims == "paid" else lambda p, **f: failed_claim(p, CANCELLED, **f)
    claim = make(payment, **WRONG_IDS[wrong])
    before = snapshot(session)
    assert apply_callback(session, payment.id, claim, LATER) == "mismatched"

    session.refresh(payment)
    once = snapshot(session)
    assert differing_tables(before, once) == {"payments", "payment_events", "tasks"}
    assert (payment.status, payment.next_check_at, payment.mpesa_receipt) == (
        PaymentState.PENDING,
        LATER,
        None,
    )
    assert task_kinds(session) == ["mismatched_callback"]
    assert books(session, order) == []
    assert apply_callback(session, payment.id, claim, LATER) == "mismatched"
    assert snapshot(session) == once
    assert is_clean(session)


@pytest.mark.parametrize("missing", ["amount", "receipt"])
def test_a_success_without_amount_or_receipt_is_the_querys_to_decide(
    session, order, payment, missing
):
    field = {"amount": "amount_cents", "receipt": "receipt"}[missing]
    claim = paid_claim(payment, **{field: None})
    assert apply_callback(session, payment.id, claim, LATER) == "incomplete"
    session.refresh(payment)
    once = snapshot(session)

    assert (payment.status, payment.next_check_at, order.status) == (
        PaymentState.PENDING,
        LATER,
        "pending",
    )
    task = session.scalars(select(Task)).one()
    assert task.kind == "mismatched_callback"
    assert f"its {missing} is missing" in task.description
    assert apply_callback(session, payment.id, claim, LATER) == "incomplete"
    assert snapshot(session) == once

    settle_payment(session, payment.id, QUERIED, LATER)
    session.refresh(order)
    assert order.status == "paid"
    assert is_clean(session, LATER)


@pytest.mark.parametrize("amount_cents", [100, 149_900, 149_950, 150_100, 15_000_000])
def test_attack_78_another_amount_is_held_for_a_person_and_nothing_automatic_moves_it(
    session, order, payment, amount_cents
):
    assert pay(session, payment, LATER, amount_cents=amount_cents) == "held_for_review"

    session.refresh(payment)
    once = snapshot(session)
    assert (payment.status, payment.review_reason, payment.next_check_at) == (
        PaymentState.UNKNOWN,
        "wrong_amount",
        None,
    )
    assert (order.status, books(session, order)) == ("pending", [])
    assert task_kinds(session) == ["wrong_amount"]
    assert is_clean(session, after(days=3))

    assert pay(session, payment, LATER, amount_cents=amount_cents) == "held_for_review"
    assert pay(session, payment, LATER) == "held_for_review"
    assert settle_payment(session, payment.id, QUERIED, LATER) == "held_for_review"
    assert fail_payment(session, payment.id, FAILED, LATER) == "held_for_review"
    assert (
        apply_callback(session, payment.id, failed_claim(payment, CANCELLED), LATER)
        == "held_for_review"
    )
    assert weigh_unsigned_claim(session, payment.checkout_request_id, LATER) == payment.id
    assert claim_payment(session, payment.id, after(days=2), 60) is False
    assert snapshot(session) == once


def test_another_amount_for_a_paid_payment_is_a_task_and_no_more(session, order, payment):
    pay(session, payment)
    before = snapshot(session)
    assert pay(session, payment, LATER, amount_cents=100) == "held_for_review"

    assert differing_tables(before, snapshot(session)) == {"tasks"}
    assert task_kinds(session) == ["wrong_amount"]


def test_another_amount_after_a_failure_is_held_too(session, order, payment):
    fail_payment(session, payment.id, FAILED, NOW)
    assert pay(session, payment, LATER, amount_cents=100) == "held_for_review"

    session.refresh(payment)
    assert (payment.status, payment.review_reason) == (PaymentState.FAILED, "wrong_amount")
    assert pay(session, payment, LATER) == "held_for_review"
    assert is_clean(session, LATER)


def test_a_failure_reported_twice_is_told_once(session, payment):
    claim = failed_claim(payment, CANCELLED)
    assert apply_callback(session, payment.id, claim, LATER) == "failed"
    once = snapshot(session)

    assert apply_callback(session, payment.id, claim, after(minutes=9)) == "already_final"
    assert snapshot(session) == once


def test_an_unsigned_claim_only_makes_the_payment_due(session, order, payment):
    before = snapshot(session)
    assert weigh_unsigned_claim(session, payment.checkout_request_id, LATER) == payment.id

    session.refresh(payment)
    assert (payment.status, payment.next_check_at) == (PaymentState.PENDING, LATER)
    assert differing_tables(before, snapshot(session)) == {"payments"}


def test_an_unsigned_claim_on_a_failed_payment_has_it_queried_again(session, payment):
    fail_payment(session, payment.id, FAILED, NOW)
    assert weigh_unsigned_claim(session, payment.checkout_request_id, LATER) == payment.id

    assert claim_payment(session, payment.id, LATER, 60) is True


@pytest.mark.parametrize("case", ["unknown id", "succeeded", "refunded"])
def test_an_unsigned_claim_about_nothing_that_is_open_moves_nothing(session, payment, case):
    checkout_id = "ws_CO_nobody" if case == "unknown id" else payment.checkout_request_id
    if case != "unknown id":
        pay(session, payment)
    if case == "refunded":
        payment.status = PaymentState.REFUNDED
    before = snapshot(session)

    assert weigh_unsigned_claim(session, checkout_id, LATER) is None
    assert snapshot(session) == before


def test_a_callback_settles_a_payment_that_is_then_held_against_a_query(session, payment):
    payment.check_count = 7
    pay(session, payment, LATER)
    session.flush()
    session.refresh(payment)

    assert (payment.next_check_at, payment.check_count) == (after(seconds=45), 0)
    assert session.get_one(Payment, payment.id).mpesa_receipt == receipt_of(payment.id)
