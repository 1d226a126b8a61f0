"""One push: a row before it, one call, a row after it, and no second call by itself."""

import pytest
from sqlalchemy import select

from app.integrations.mpesa import MpesaMisconfigured, MpesaRefused, MpesaUncertain
from app.jobs.push import push_now
from app.models import Payment, Task
from app.services.audit import audit
from app.utils.callback_secret import split_callback_token
from tests.core import SECRET, ask_to_pay, buy, database_snapshot, make_buyer
from tests.factories import NOW, make_product


@pytest.fixture
def order(database):
    with database.transaction() as session:
        product = make_product(session, price_cents=149_950)
        return buy(session, make_buyer(session), (product, 1))


@pytest.fixture
def payment(database, order):
    with database.transaction() as session:
        return ask_to_pay(session, order, pushed=False, msisdn="254700000001")


def stored(database, payment) -> Payment:
    with database.reading() as session:
        assert audit(session, NOW) == []
        return session.get_one(Payment, payment.id)


def test_a_push_asks_for_the_orders_amount_at_an_address_with_the_secret(
    work, database, gateway, doorbell, order, payment
):
    assert push_now(work, payment.id, SECRET) is None

    (ask,) = gateway.pushes
    assert (ask.amount_shillings, ask.msisdn, ask.account_reference) == (
        1500,
        "254700000001",
        order.number,
    )
    assert len(ask.description) <= 13
    assert ask.callback_url == f"https://shop.example/api/pay/cb/{payment.id}.{SECRET.value}"
    assert split_callback_token(ask.callback_url.rpartition("/")[2]) == (payment.id, SECRET)
    kept = stored(database, payment)
    assert (kept.status, kept.checkout_request_id, kept.merchant_request_id) == (
        "pending",
        "ws_CO_2211202612000000001700000001",
        "7071-4170-a0e4-000000000001",
    )
    assert doorbell.rings == [("check_payment", payment.id, 30)]


def test_a_push_that_is_surely_refused_fails_its_payment(work, database, gateway, payment):
    gateway.push_error = MpesaRefused("Bad Request", code="400.002.02")
    assert push_now(work, payment.id, SECRET) is gateway.push_error

    kept = stored(database, payment)
    assert (kept.status, kept.result_code, kept.result_desc, kept.next_check_at) == (
        "failed",
        "400.002.02",
        "Bad Request",
        None,
    )
    assert kept.customer_message == MpesaRefused.default_customer_message


def test_a_push_without_an_answer_is_unknown_and_not_sent_again(
    work, database, gateway, doorbell, payment
):
    gateway.push_error = MpesaUncertain("read timeout")
    assert push_now(work, payment.id, SECRET) is None

    kept = stored(database, payment)
    assert (kept.status, kept.result_desc) == ("unknown", "read timeout")
    assert len(gateway.pushes) == 1
    assert doorbell.rings == []


def test_settings_that_safaricom_refuses_become_a_task(work, database, gateway, payment):
    gateway.push_error = MpesaMisconfigured("Wrong credentials", code="500.001.1001")
    assert push_now(work, payment.id, SECRET) is gateway.push_error

    with database.reading() as session:
        task = session.scalars(select(Task)).one()
    assert (task.kind, task.payment_id) == ("mpesa_configuration", payment.id)
    assert "500.001.1001: Wrong credentials" in task.description
    assert stored(database, payment).status == "failed"


def test_a_bug_on_the_way_leaves_the_row_to_the_reconciler(work, database, gateway, payment):
    before = database_snapshot(database)
    gateway.push_error = KeyError("a bug")

    with pytest.raises(KeyError):
        push_now(work, payment.id, SECRET)
    assert database_snapshot(database) == before
