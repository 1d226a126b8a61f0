"""Sales, orders and payments by Nairobi's days: the same numbers on both databases."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.models import TaskKind
from app.policies import Role
from app.services.end_order import cancel_order
from app.services.exceptions import QueueCount
from app.services.figures import (
    Period,
    SalesDay,
    compare_periods,
    read_outcomes,
    read_sales,
    read_waiting,
)
from app.services.records import Matter, file_task
from tests.core import PAYMENT_RULES, after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, actor_of, ids, make_product, make_user

TODAY = date(2026, 11, 22)
MIDNIGHT = after(hours=-12)
"""21:00 of the day before in UTC, when the 22nd begins in Nairobi; NOW is noon there."""

A_SECOND = timedelta(seconds=1)
MANY_PROMPTS = replace(PAYMENT_RULES, prompts_per_phone_10_minutes=9)


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN))


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def boots(session, seller):
    return make_product(session, seller, stock=100, price_cents=149_950)


@pytest.fixture
def socks(session):
    """Another seller's."""
    return make_product(session, stock=100, price_cents=20_000)


def sell(session, *lines, at):
    order = buy(session, make_buyer(session), *lines, now=at)
    pay(session, ask_to_pay(session, order, at), at)
    return order


def test_days_begin_at_midnight_in_nairobi_and_sales_are_what_the_books_say(
    session, admin, seller, boots, socks
):
    sell(session, (boots, 1), (socks, 2), at=MIDNIGHT)
    sell(session, (boots, 2), at=MIDNIGHT - A_SECOND)
    first_day = MIDNIGHT - timedelta(days=59)
    sell(session, (socks, 1), at=first_day)
    sell(session, (socks, 1), at=first_day - A_SECOND)
    buy(session, make_buyer(session), (socks, 1), now=NOW)

    everything = read_sales(session, admin, NOW)
    assert [day.day for day in everything] == [
        TODAY - timedelta(days=ago) for ago in range(59, -1, -1)
    ]
    assert [day for day in everything if day.placed or day.sold] == [
        SalesDay(date(2026, 9, 24), 1, 1, 20_000),
        SalesDay(date(2026, 11, 21), 1, 1, 299_900),
        SalesDay(TODAY, 2, 1, 189_950),
    ]
    theirs = read_sales(session, actor_of(seller), NOW)
    assert [day for day in theirs if day.placed or day.sold] == [
        SalesDay(date(2026, 11, 21), 1, 1, 299_900),
        SalesDay(TODAY, 1, 1, 149_950),
    ]
    nobody = read_sales(session, actor_of(make_user(session, Role.SELLER)), NOW)
    assert [(day.placed, day.sold, day.cents) for day in nobody] == [(0, 0, 0)] * 60


def test_a_period_is_held_against_as_many_days_before_it():
    sold = {0: 500, 1: 300, 6: 100, 7: 250, 13: 250, 14: 9, 29: 9, 30: 7, 59: 7}
    days = [
        SalesDay(TODAY - timedelta(days=ago), 2, int(ago in sold), sold.get(ago, 0))
        for ago in range(59, -1, -1)
    ]
    periods = compare_periods(days, (1, 7, 30))
    assert periods == [
        Period(1, 2, 1, 500, 300),
        Period(7, 14, 3, 900, 500),
        Period(30, 60, 7, 1418, 14),
    ]
    assert [period.change_percent for period in periods] == [67, 80, 10029]
    assert Period(1, 0, 0, 500, 0).change_percent is None


def test_money_that_bought_nothing_is_no_sale(session, admin, boots):
    order = buy(session, make_buyer(session), (boots, 1))
    payment = ask_to_pay(session, order)
    order.status = "cancelled"
    pay(session, payment)
    assert [day.cents for day in read_sales(session, admin, NOW) if day.sold] == []


def test_payments_by_the_day_that_they_were_asked_for(session, admin, seller, boots):
    order = buy(session, make_buyer(session), (boots, 1), now=MIDNIGHT)
    for state in ("succeeded", "refunded", "failed", "cancelled", "unknown"):
        ask_to_pay(
            session, order, MIDNIGHT, msisdn="254711000111", rules=MANY_PROMPTS
        ).status = state
        session.flush()
        if state == "unknown":
            order = buy(session, make_buyer(session), (boots, 1), now=MIDNIGHT)
    ask_to_pay(session, order, MIDNIGHT - A_SECOND)

    days = read_outcomes(session, admin, NOW)
    assert (len(days), days[0].day) == (30, date(2026, 10, 24))
    assert [
        (day.day.day, day.succeeded, day.cancelled, day.failed, day.unknown) for day in days[-2:]
    ] == [(21, 0, 0, 0, 1), (22, 2, 1, 1, 1)]
    assert {
        (day.succeeded, day.cancelled, day.failed, day.unknown)
        for day in read_outcomes(session, actor_of(seller), NOW)
    } == {(0, 0, 0, 0)}


def order_that_is_owed(session, product) -> int:
    """Cents that came for an order that had been called off."""
    buyer = make_buyer(session)
    payment = ask_to_pay(session, buy(session, buyer, (product, 1)))
    cancel_order(session, actor_of(buyer), payment.order_id, NOW)
    pay(session, payment)
    return payment.amount_cents


def test_what_waits_is_told_to_whom_it_concerns(session, admin, seller, boots, socks):
    sold = [sell(session, (boots, 1), at=after(minutes=minute)) for minute in range(6)]
    other = sell(session, (socks, 1), at=NOW)
    ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)))
    ask_to_pay(session, buy(session, make_buyer(session), (boots, 1))).status = "unknown"
    boots.low_stock_threshold = 92
    gone = make_product(session, seller, stock=0)
    make_product(session, seller, stock=0, deleted_at=NOW)
    file_task(session, Matter(TaskKind.MPESA_CONFIGURATION, "Look", "It is odd", "odd:1"), NOW)
    debt = order_that_is_owed(session, boots)
    session.flush()

    theirs = read_waiting(session, actor_of(seller))
    assert (theirs.to_ship_count, ids(theirs.to_ship)) == (6, ids(sold[:5]))
    assert [(low.id, low.available) for low in theirs.low] == [(gone.id, 0), (boots.id, 92)]
    assert (theirs.low_count, theirs.prompts_out, theirs.payments_unknown, theirs.shop_tasks) == (
        2,
        0,
        0,
        0,
    )
    assert theirs.exceptions == QueueCount()
    everything = read_waiting(session, admin)
    assert (everything.to_ship_count, other.id in ids(everything.to_ship)) == (7, False)
    assert (
        everything.low_count,
        everything.prompts_out,
        everything.payments_unknown,
        everything.shop_tasks,
    ) == (2, 1, 1, 1)
    assert everything.exceptions == QueueCount(1, debt, NOW)
