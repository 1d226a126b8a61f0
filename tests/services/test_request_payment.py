"""The wish to pay: who may have it, for which order, and how often a phone is rung."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests
from app.models import OrderStatus, Payment, PaymentState
from app.policies import Role
from app.services.record_push import record_refusal
from app.services.request_payment import PaymentRequest, request_payment
from tests.core import (
    PAYMENT_RULES,
    SECRET,
    after,
    ask_to_pay,
    buy,
    is_clean,
    make_buyer,
    pay,
    payment_steps,
    refused,
    thrown_away,
)
from tests.factories import NOW, actor_of, make_product, make_user

PHONE = "254700000001"


@pytest.fixture
def boots(session):
    return make_product(session, stock=50, price_cents=149_950)


@pytest.fixture
def buyer(session):
    return make_buyer(session, phone_number="254711111111")


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1))


def ask(session, user, order_id, now=NOW, msisdn=None, rules=PAYMENT_RULES):
    return request_payment(
        session, actor_of(user), PaymentRequest(order_id, msisdn), SECRET, rules, now
    )


def test_the_wish_is_on_record_with_the_orders_amount_and_only_the_secrets_hash(
    session, buyer, order
):
    payment = ask(session, buyer, order.id)

    assert (payment.status, payment.kind, payment.amount_cents) == ("created", "stk_push", 150_000)
    assert (payment.order_id, payment.user_id, payment.msisdn) == (
        order.id,
        buyer.id,
        "254711111111",
    )
    assert payment.callback_secret_hash == SECRET.hash
    assert SECRET.value not in repr(vars(payment))
    assert (payment.next_check_at, payment.checkout_request_id) == (after(seconds=30), None)
    assert payment_steps(session, payment) == [(None, "created", "request")]
    assert is_clean(session)


@pytest.mark.parametrize(
    ("price_cents", "asked"), [(149_950, 150_000), (1, 100), (100, 100), (150_001, 150_100)]
)
def test_the_amount_is_rounded_up_to_whole_shillings(session, buyer, price_cents, asked):
    product = make_product(session, price_cents=price_cents)
    assert ask(session, buyer, buy(session, buyer, (product, 1)).id).amount_cents == asked


def test_the_phone_is_the_one_named_else_the_orders_else_the_buyers(session, buyer, boots, order):
    with_phone = buy(session, buyer, (boots, 1), phone_number="254722222222")

    assert ask(session, buyer, order.id, msisdn=PHONE).msisdn == PHONE
    assert ask(session, buyer, with_phone.id).msisdn == "254722222222"
    assert ask(session, buyer, buy(session, buyer, (boots, 1)).id).msisdn == "254711111111"


def test_without_any_phone_the_buyer_is_asked_for_one(session, boots):
    buyer = make_buyer(session, phone_number=None)
    order = buy(session, buyer, (boots, 1))
    with refused(session, InvalidInput, "invalid_input") as caught:
        ask(session, buyer, order.id)

    assert [error["field"] for error in caught.value.errors] == ["phone_number"]


def test_attack_87_only_its_buyer_pays_for_an_order(session, buyer, boots, order):
    stranger, admin = make_buyer(session), make_user(session, Role.ADMIN)
    with refused(session, NotFound, "order_not_found"):
        ask(session, stranger, order.id)
    with refused(session, NotFound, "order_not_found"):
        ask(session, buyer, 999_999)
    with refused(session, Forbidden, "forbidden"):
        ask(session, admin, order.id)


def test_attack_87_only_a_pending_order_is_paid(session, buyer, order):
    for status in set(OrderStatus) - {OrderStatus.PENDING}:
        order.status = status
        session.flush()
        with refused(session, Conflict, "order_not_payable") as caught:
            ask(session, buyer, order.id)
        assert caught.value.detail == f"Order {order.number} is {status} and awaits no payment."


def test_an_order_whose_time_is_up_is_not_paid_even_before_it_is_swept(session, buyer, order):
    with refused(session, Conflict, "order_not_payable"):
        ask(session, buyer, order.id, after(minutes=15))
    assert ask(session, buyer, order.id, after(minutes=15, microseconds=-1)).status == "created"


def test_attack_88_one_live_attempt_for_an_order(session, buyer, order):
    payment = ask_to_pay(session, order)
    for state in ("created", "pending", "unknown"):
        payment.status = state
        with refused(session, Conflict, "payment_in_progress") as caught:
            ask(session, buyer, order.id, after(minutes=10), PHONE)
        assert caught.value.extra == {"transaction_id": payment.id}
    for state in ("failed", "cancelled"):
        payment.status = state
        with thrown_away(session):
            assert ask(session, buyer, order.id, after(minutes=10), PHONE).status == "created"


def test_the_database_itself_refuses_a_second_live_attempt(session, order):
    first = ask_to_pay(session, order)
    values = {
        "order_id": order.id,
        "user_id": order.user_id,
        "amount_cents": 100,
        "msisdn": PHONE,
        "callback_secret_hash": "x" * 64,
        "created_at": NOW,
        "updated_at": NOW,
    }
    for mine in ("created", "pending", "unknown"):
        first.status = mine
        session.flush()
        for theirs in ("created", "pending", "unknown"):
            with pytest.raises(IntegrityError), session.begin_nested():
                session.add(Payment(**values, status=theirs))
    first.status = PaymentState.FAILED
    session.add(Payment(**values, status="pending"))
    session.flush()


def test_attack_86_a_phone_shows_one_prompt_at_a_time(session, buyer, boots, order):
    payment = ask_to_pay(session, order, msisdn=PHONE)
    other = buy(session, make_buyer(session), (boots, 1))
    for state in ("created", "pending"):
        payment.status = state
        with refused(session, Conflict, "phone_busy") as caught:
            ask_to_pay(session, other, after(seconds=179), msisdn=PHONE)
        assert caught.value.retry_after_seconds == 60
    with thrown_away(session):
        assert ask_to_pay(session, other, after(seconds=180), msisdn=PHONE).status == "pending"
    payment.status = "unknown"
    session.flush()
    assert ask_to_pay(session, other, after(seconds=9), msisdn=PHONE).status == "pending"


def rung(session, boots, *minutes: float, state: str = "failed") -> None:
    """The phone was rung at these minutes, by a new buyer each time, and did not pay."""
    for minute in minutes:
        order = buy(session, make_buyer(session), (boots, 1), now=after(minutes=minute))
        loose = replace(PAYMENT_RULES, prompts_per_phone_10_minutes=99, prompts_per_phone_day=99)
        payment = ask_to_pay(session, order, after(minutes=minute), msisdn=PHONE, rules=loose)
        payment.status = state
        session.flush()


def test_attack_86_a_phone_is_rung_three_times_in_ten_minutes_whoever_asks(session, boots):
    rung(session, boots, 0, 4, 5)
    order = buy(session, make_buyer(session), (boots, 1), now=after(minutes=5))

    with refused(session, TooManyRequests, "too_many_prompts") as caught:
        ask_to_pay(session, order, after(minutes=9), msisdn=PHONE)
    assert caught.value.retry_after_seconds == 61
    with refused(session, TooManyRequests, "too_many_prompts") as caught:
        ask_to_pay(session, order, after(minutes=10, microseconds=-1), msisdn=PHONE)
    assert caught.value.retry_after_seconds == 1
    assert ask_to_pay(session, order, after(minutes=10), msisdn=PHONE).status == "pending"


def test_attack_86_a_phone_is_rung_ten_times_a_day(session, boots):
    rung(session, boots, *range(0, 200, 20))
    order = buy(session, make_buyer(session), (boots, 1), now=after(hours=23, minutes=59))

    with refused(session, TooManyRequests, "too_many_prompts") as caught:
        ask_to_pay(session, order, after(hours=23, minutes=59), msisdn=PHONE)
    assert caught.value.retry_after_seconds == 61
    assert ask_to_pay(session, order, after(days=1), msisdn=PHONE).status == "pending"


def test_a_phone_that_pays_may_pay_again_and_again(session, boots):
    for _ in range(12):
        order = buy(session, make_buyer(session), (boots, 1))
        assert pay(session, ask_to_pay(session, order, msisdn=PHONE)) == "settled"


def test_an_order_above_what_mpesa_carries_now_is_refused(session, buyer, order):
    with refused(session, Conflict, "above_mpesa_limit"):
        ask(session, buyer, order.id, rules=replace(PAYMENT_RULES, max_amount_shillings=1499))
    exact = replace(PAYMENT_RULES, max_amount_shillings=1500)
    assert ask(session, buyer, order.id, rules=exact).amount_cents == 150_000


def test_a_push_that_was_surely_refused_rang_nobody_and_counts_for_nothing(session, boots):
    for number in range(PAYMENT_RULES.prompts_per_phone_10_minutes + 1):
        buyer = make_buyer(session)
        payment = ask_to_pay(session, buy(session, buyer, (boots, 1)), msisdn=PHONE, pushed=False)
        record_refusal(
            session,
            payment.id,
            code="500.003.02",
            message=f"busy for the {number}. time",
            customer_message="Try again in a minute.",
            now=NOW,
        )
        session.refresh(payment)
        assert (payment.status, payment.sent_at) == (PaymentState.FAILED, None)
    assert is_clean(session)
