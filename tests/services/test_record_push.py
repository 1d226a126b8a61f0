"""What Safaricom answered to a push, or that nobody knows."""

import pytest
from sqlalchemy import select

from app.models import PaymentState, Task
from app.services.record_push import (
    NO_ANSWER_MESSAGE,
    record_acceptance,
    record_refusal,
    record_silence,
    report_misconfiguration,
)
from tests.core import (
    after,
    ask_to_pay,
    buy,
    is_clean,
    make_buyer,
    pay,
    payment_steps,
    push_ids,
    snapshot,
)
from tests.factories import NOW, make_product

LATER = after(seconds=3)


@pytest.fixture
def payment(session):
    order = buy(session, make_buyer(session), (make_product(session), 1))
    return ask_to_pay(session, order, pushed=False)


def refuse(session, payment, **fields) -> None:
    values = {"code": "400.002.02", "message": "Bad Request", "customer_message": "No."}
    record_refusal(session, payment.id, **{**values, **fields}, now=LATER)
    session.refresh(payment)


def test_an_acceptance_keeps_the_ids_and_awaits_the_result(session, payment):
    record_acceptance(session, payment.id, *push_ids(payment.id), LATER)
    session.refresh(payment)
    once = snapshot(session)

    assert (payment.status, payment.sent_at) == (PaymentState.PENDING, LATER)
    assert (payment.merchant_request_id, payment.checkout_request_id) == push_ids(payment.id)
    assert payment.next_check_at == after(seconds=30)
    assert payment_steps(session, payment)[1:] == [("created", "pending", "push")]
    record_acceptance(session, payment.id, "other", "other", after(seconds=9))
    assert snapshot(session) == once


def test_a_refusal_is_final_and_frees_the_order(session, payment):
    refuse(session, payment)

    assert (payment.status, payment.result_code, payment.result_desc) == (
        PaymentState.FAILED,
        "400.002.02",
        "Bad Request",
    )
    assert (payment.customer_message, payment.next_check_at, payment.finished_at) == (
        "No.",
        None,
        LATER,
    )
    assert payment_steps(session, payment)[1:] == [("created", "failed", "push")]
    assert is_clean(session)


def test_a_refusal_in_many_words_is_cut_to_what_the_columns_hold(session, payment):
    refuse(session, payment, code="c" * 64, message="m" * 900, customer_message="p" * 900)

    assert (payment.result_code, payment.result_desc, payment.customer_message) == (
        "c" * 40,
        "m" * 300,
        "p" * 300,
    )


def test_a_refusal_without_words_has_none(session, payment):
    refuse(session, payment, code=None, customer_message=None)

    assert (payment.result_code, payment.customer_message) == (None, None)


def test_silence_is_neither_success_nor_failure(session, payment):
    record_silence(session, payment.id, "read timeout", LATER)
    session.refresh(payment)

    assert (payment.status, payment.customer_message, payment.finished_at) == (
        PaymentState.UNKNOWN,
        NO_ANSWER_MESSAGE,
        None,
    )
    assert (payment.result_desc, payment.next_check_at) == ("read timeout", after(seconds=30))
    assert payment_steps(session, payment)[1:] == [("created", "unknown", "push")]


def test_no_answer_to_a_push_takes_a_payment_back(session, payment):
    pay(session, payment, after(seconds=1))
    once = snapshot(session)

    record_acceptance(session, payment.id, *push_ids(payment.id), LATER)
    record_silence(session, payment.id, "timeout", LATER)
    refuse(session, payment)
    assert snapshot(session) == once


def test_misconfiguration_is_told_once_a_day_for_each_code(session, payment):
    for code, now in (("1", NOW), ("1", LATER), ("2", NOW), ("1", after(days=1))):
        report_misconfiguration(session, payment.id, code, "Wrong credentials.", now)

    tasks = session.scalars(select(Task).order_by(Task.id)).all()
    assert [(task.kind, task.dedupe_key, task.payment_id) for task in tasks] == [
        ("mpesa_configuration", f"mpesa_configuration:{key}", payment.id)
        for key in ("1:2026-11-22", "2:2026-11-22", "1:2026-11-23")
    ]
