"""What to type in the M-Pesa menu: told where it is wise, and nowhere else."""

import pytest

from app.integrations.mpesa import (
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.jobs.check_payment import failure_of
from app.policies import Role
from app.services.end_order import cancel_order
from app.services.fail_payment import fail_payment
from app.services.hold_for_review import hold_for_review
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.records import Matter
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, actor_of, make_product

PHONE = "254700000001"


@pytest.fixture
def buyer(app, database):
    return new_caller(app, database, Role.CUSTOMER)


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session, price_cents=149_950, stock=99)


@pytest.fixture
def order(database, buyer, boots):
    with database.transaction() as session:
        return buy(session, buyer[0], (boots, 1))


def to_pay(order, amount=1500) -> dict:
    return {"paybill": "174379", "till": None, "account": order.number, "amount": amount}


def shown(client, order, headers):
    one = client.get(f"/api/orders/{order.id}", headers=headers).get_json()
    [listed] = client.get("/api/orders?limit=1", headers=headers).get_json()["data"]
    assert one == listed
    return one["pay_by_paybill"]


def push(client, order, headers):
    response = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=headers)
    return response, response.get_json().get("pay_by_paybill")


def test_an_order_that_waits_says_how_to_pay_it(client, buyer, order):
    assert shown(client, order, buyer[1]) == to_pay(order)


def test_while_a_prompt_is_out_or_its_fate_unknown_nobody_is_invited_to_pay_twice(
    client, database, buyer, order
):
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
    assert shown(client, order, buyer[1]) is None
    with database.transaction() as session:
        session.merge(payment).status = "unknown"
    assert shown(client, order, buyer[1]) is None
    with database.transaction() as session:
        held = session.merge(payment)
        matter = Matter("wrong_amount", "?", "?", "wrong")
        hold_for_review(session, held, "wrong_amount", matter, NOW)
    assert shown(client, order, buyer[1]) is None


def test_after_a_prompt_that_failed_it_is_told_again(client, database, buyer, order):
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
        fail_payment(session, payment.id, failure_of("1037", "", source="callback"), NOW)
    assert shown(client, order, buyer[1]) == to_pay(order)


def test_what_came_in_parts_leaves_less(client, database, buyer, order):
    facts = ReceiptFacts("UKM9000001", 100_050, "c2b", order.number, NOW)
    with database.transaction() as session:
        receive_money(session, facts, NOW)
    assert shown(client, order, buyer[1]) == to_pay(order, 499)


def test_nothing_is_to_be_paid_on_an_order_that_is_over(client, database, clock, buyer, boots):
    with database.transaction() as session:
        paid, cancelled = (buy(session, buyer[0], (boots, 1)) for _ in range(2))
        pay(session, ask_to_pay(session, paid))
        cancel_order(session, actor_of(buyer[0]), cancelled.id, NOW)
        late = buy(session, buyer[0], (boots, 1))
    for order in (paid, cancelled):
        one = client.get(f"/api/orders/{order.id}", headers=buyer[1]).get_json()
        assert one["pay_by_paybill"] is None
    clock.advance(seconds=899)
    assert shown(client, late, buyer[1]) == to_pay(late)
    clock.advance(seconds=1)
    assert shown(client, late, buyer[1]) is None


def test_a_till_asks_for_no_account_and_the_number_is_told_all_the_same(
    make_app, database, buyer, order
):
    app = make_app(mpesa_shortcode="600001", mpesa_till="600002", mpesa_c2b_shortcode="600002")
    headers = sign_in(app, buyer[0])
    assert shown(app.test_client(), order, headers) == {
        "paybill": None,
        "till": "600002",
        "account": order.number,
        "amount": 1500,
    }


def test_a_number_of_its_own_for_the_menu_is_a_paybill(make_app, buyer, order):
    app = make_app(mpesa_shortcode="600001", mpesa_till="600002", mpesa_c2b_shortcode="600003")
    found = shown(app.test_client(), order, sign_in(app, buyer[0]))
    assert (found["paybill"], found["till"]) == ("600003", None)


def test_what_mpesa_does_not_carry_at_once_is_not_told(make_app, buyer, order):
    app = make_app(mpesa_max_amount_shillings=1499)
    assert shown(app.test_client(), order, sign_in(app, buyer[0])) is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MpesaRefused("Bad Request", code="400.002.02"), 502),
        (MpesaMisconfigured("Wrong credentials", code="500.001.1001"), 502),
        (MpesaUnavailable("down", retry_after_seconds=30), 503),
        (MpesaPhoneBusy("locked", retry_after_seconds=60), 409),
    ],
)
def test_a_push_that_surely_rang_nobody_says_how_else_to_pay(
    client, gateway, buyer, order, error, status
):
    gateway.push_error = error
    response, found = push(client, order, buyer[1])
    assert (response.status_code, found) == (status, to_pay(order))
    assert response.mimetype == "application/problem+json"


def test_a_push_that_may_have_rung_somebody_says_nothing_of_another_way(
    client, gateway, buyer, order
):
    gateway.push_error = MpesaUncertain("read timeout")
    response, found = push(client, order, buyer[1])
    assert (response.status_code, found) == (202, None)
    response, found = push(client, order, buyer[1])
    assert (response.status_code, response.get_json()["code"]) == (409, "payment_in_progress")
    assert found is None


def test_a_phone_that_was_rung_too_often_leaves_another_way(client, database, buyer, order):
    for _ in range(3):
        with database.transaction() as session:
            payment = ask_to_pay(session, order)
            fail_payment(session, payment.id, failure_of("1037", "", source="callback"), NOW)
    response, found = push(client, order, buyer[1])
    assert (response.status_code, found) == (429, to_pay(order))


def test_an_order_that_is_over_has_no_other_way(client, database, buyer, order):
    with database.transaction() as session:
        cancel_order(session, actor_of(buyer[0]), order.id, NOW)
    response, found = push(client, order, buyer[1])
    assert (response.status_code, found) == (409, None)
    assert "pay_by_paybill" not in response.get_json()


def test_nobody_else_learns_how_an_order_is_to_be_paid(app, client, database, order):
    with database.transaction() as session:
        stranger = make_buyer(session)
    response, found = push(client, order, sign_in(app, stranger))
    assert (response.status_code, found) == (404, None)
