"""The sweep does what no bell announced; one part that fails stops no other."""

import socket

import pytest
from sqlalchemy import select

from app.jobs import registry
from app.jobs.check_payment import BATCH
from app.jobs.registry import JOBS, sweep
from app.jobs.tidy import delete_expired_rows
from app.models import DoctorProbe, IdempotencyKey, Order, Pace, Payment, Product, RateCounter
from app.services.audit import audit
from app.services.heartbeats import list_heartbeats, note_sweep
from app.services.inbox import ReceivedMessage
from app.services.probes import record_probe
from app.utils.callback_secret import CallbackSecret
from tests.core import SECRET, after, ask_to_pay, buy, database_snapshot, make_buyer, pay, push_ids
from tests.factories import NOW, make_product
from tests.inbox import keep_message
from tests.safaricom import callback_body

pytestmark = pytest.mark.usefixtures("logs")


@pytest.fixture
def shop(database):
    """A lapsed order, a payment that is due, and a callback that nobody has read."""
    with database.transaction() as session:
        boots = make_product(session, stock=9)
        lapsed, due, told = (buy(session, make_buyer(session), (boots, 1)) for _ in range(3))
        due_payment = ask_to_pay(session, due)
        told_payment = ask_to_pay(session, told)
        body = callback_body(*push_ids(told_payment.id))
        keep_message(session, ReceivedMessage("stk_callback", body, {}, None, told_payment.id), NOW)
    return lapsed, due_payment, told_payment


@pytest.mark.fault("F26", "F52")
def test_one_sweep_does_all_that_is_due_and_the_next_one_nothing(
    work, database, clock, gateway, shop
):
    _, due_payment, told_payment = shop
    gateway.says(push_ids(due_payment.id)[1], "0")
    clock.now = after(minutes=15)
    sweep(work)
    clock.advance(seconds=6)  # the callback is held against a query
    gateway.says(push_ids(told_payment.id)[1], "0")
    sweep(work)
    once = database_snapshot(database)

    with database.reading() as session:
        assert session.scalars(select(Order.status).order_by(Order.id)).all() == [
            "expired",
            "paid",
            "paid",
        ]
        assert set(session.scalars(select(Payment.status))) == {"succeeded"}
        assert audit(session, clock()) == []
    sweep(work)
    assert database_snapshot(database) == once


def test_a_part_that_fails_stops_no_other(work, database, clock, gateway, shop, monkeypatch):
    def burst(_work) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(registry, "_SWEEPS", (burst, *registry._SWEEPS[1:]))
    clock.now = after(minutes=15)
    sweep(work)

    with database.reading() as session:
        assert session.get_one(Order, shop[0].id).status == "expired"
    assert gateway.queries != []


def test_orders_are_let_go_however_many_payments_are_to_be_asked_about(
    work, database, clock, gateway
):
    """Payments come faster than Safaricom may be asked about them."""
    with database.transaction() as session:
        boots = make_product(session, stock=999)
        lapsed = buy(session, make_buyer(session), (boots, 1))
        _pay_some(session, boots, BATCH + 1)
    ask = gateway.query

    def ask_while_others_pay(checkout_request_id):
        with database.transaction() as session:
            _pay_some(session, session.get_one(Product, boots.id), 1)
        assert len(gateway.queries) < 3 * BATCH, "the sweep never comes to what follows"
        return ask(checkout_request_id)

    gateway.query = ask_while_others_pay
    clock.now = after(minutes=15)

    assert sweep(work) is True
    assert len(gateway.queries) == BATCH
    with database.reading() as session:
        assert session.get_one(Order, lapsed.id).status == "expired"
        assert audit(session, clock()) == []


def _pay_some(session, product, count):
    for _ in range(count):
        payment = ask_to_pay(session, buy(session, make_buyer(session), (product, 1)))
        pay(session, payment, NOW)


def test_each_sweep_leaves_a_sign_of_life(work, database, clock):
    sweep(work)
    clock.advance(seconds=15)
    sweep(work)
    with database.reading() as session:
        (beat,) = list_heartbeats(session)
    assert (beat.host, beat.swept_at) == (socket.gethostname(), after(seconds=15))


def test_the_jobs_that_a_bell_may_name():
    assert sorted(JOBS) == [
        "check_claim",
        "check_payment",
        "check_refund",
        "deliver_webhooks",
        "process_backlog",
        "process_message",
    ]


def test_what_has_served_its_time_is_thrown_away_and_nothing_else(work, database, clock):
    with database.transaction() as session:
        buyer = make_buyer(session)
        for name, expires_at in (("old", NOW), ("young", after(seconds=1))):
            session.add(
                IdempotencyKey(
                    user_id=buyer.id,
                    route="POST /api/orders",
                    key=name,
                    request_hash="x",
                    created_at=NOW,
                    expires_at=expires_at,
                )
            )
            session.add(RateCounter(key=name, hits=1, expires_at=expires_at.timestamp()))
        for host, swept_at in (("gone", after(days=-8)), ("here", after(days=-6))):
            note_sweep(session, host, swept_at)
        record_probe(session, CallbackSecret.new(), after(minutes=-15))
        record_probe(session, SECRET, after(minutes=-14))
        session.add(Pace(name="mpesa_query", next_at=after(days=-9)))
        session.add(Pace(name="phone:254700000001", next_at=after(days=-1)))
        session.add(Pace(name="phone:254700000002", next_at=after(days=-1, seconds=1)))
    delete_expired_rows(work)

    with database.reading() as session:
        assert session.scalars(select(IdempotencyKey.key)).all() == ["young"]
        assert session.scalars(select(RateCounter.key)).all() == ["young"]
        assert [beat.host for beat in list_heartbeats(session)] == ["here"]
        assert session.scalars(select(DoctorProbe.secret_hash)).all() == [SECRET.hash]
        assert session.scalars(select(Pace.name).order_by(Pace.name)).all() == [
            "mpesa_query",
            "phone:254700000002",
        ]
