"""A seller is told when little is left: once a fall, by whatever made it fall."""

import pytest
from sqlalchemy import event, select

from app.errors import Conflict
from app.models import Notification
from app.policies import Role
from app.services.change_product import ProductChange, change_product
from app.services.end_order import cancel_order, expire_order
from app.services.place_order import place_order
from tests.core import ORDER_RULES, after, ask_to_pay, buy, make_buyer, pay, refused, wanted
from tests.factories import NOW, actor_of, make_product, make_user


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def boots(session, seller):
    return make_product(session, seller, name="Boots", stock=10, low_stock_threshold=5)


def told(session, seller) -> list[str]:
    """What the seller was told of low stock since the last look."""
    session.flush()
    rows = session.scalars(
        select(Notification)
        .where(Notification.user_id == seller.id, Notification.kind == "low_stock")
        .order_by(Notification.id)
    ).all()
    bodies = [row.body for row in rows]
    for row in rows:
        assert row.product_id is not None
        session.delete(row)
    session.flush()
    return bodies


def restock(session, seller, product, stock: int) -> None:
    change_product(session, actor_of(seller), product.id, ProductChange(stock=stock), NOW)


def test_an_order_that_reaches_the_threshold_tells_once(session, seller, boots):
    buyer = make_buyer(session)
    buy(session, buyer, (boots, 4))
    assert told(session, seller) == []
    buy(session, buyer, (boots, 1))
    assert told(session, seller) == ["Boots: 5 can still be bought."]
    buy(session, buyer, (boots, 1))
    assert told(session, seller) == []


def test_a_fall_far_below_the_threshold_tells_once_and_a_rise_arms_it_again(session, seller, boots):
    buyer = make_buyer(session)
    order = buy(session, buyer, (boots, 10))
    assert told(session, seller) == ["Boots: 0 can still be bought."]
    cancel_order(session, actor_of(buyer), order.id, NOW)
    assert told(session, seller) == []
    buy(session, buyer, (boots, 6))
    assert told(session, seller) == ["Boots: 4 can still be bought."]


def test_paying_takes_from_the_shelf_what_was_held_and_tells_nothing_more(session, seller, boots):
    order = buy(session, make_buyer(session), (boots, 7))
    told(session, seller)
    pay(session, ask_to_pay(session, order))

    assert told(session, seller) == []


def test_late_money_that_takes_the_stock_again_tells_too(session, seller, boots):
    order = buy(session, make_buyer(session), (boots, 7))
    payment = ask_to_pay(session, order)
    told(session, seller)
    payment.status = "failed"
    session.flush()
    assert expire_order(session, order.id, after(hours=1)) is True
    assert told(session, seller) == []
    assert pay(session, payment, after(hours=2)) == "settled"
    assert told(session, seller) == ["Boots: 3 can still be bought."]


def test_a_sellers_own_count_tells_when_it_falls_and_not_when_it_rises(session, seller, boots):
    restock(session, seller, boots, 5)
    assert told(session, seller) == ["Boots: 5 can still be bought."]
    restock(session, seller, boots, 2)
    assert told(session, seller) == []
    restock(session, seller, boots, 3)
    assert told(session, seller) == []
    restock(session, seller, boots, 6)
    assert told(session, seller) == []
    restock(session, make_user(session, Role.ADMIN), boots, 0)
    assert told(session, seller) == ["Boots: 0 can still be bought."]


def test_a_product_without_a_threshold_tells_nothing(session, seller):
    hat = make_product(session, seller, stock=3)
    buy(session, make_buyer(session), (hat, 3))
    assert told(session, seller) == []
    zero = make_product(session, seller, name="Kiondo", stock=3, low_stock_threshold=0)
    buy(session, make_buyer(session), (zero, 2))
    assert told(session, seller) == []
    buy(session, make_buyer(session), (zero, 1))
    assert told(session, seller) == ["Kiondo: 0 can still be bought."]


def test_the_longest_name_fits_in_what_is_told(session, seller):
    long = make_product(session, seller, name="n" * 200, stock=1, low_stock_threshold=0)
    buy(session, make_buyer(session), (long, 1))
    assert told(session, seller) == ["n" * 200 + ": 0 can still be bought."]


def test_an_order_that_is_refused_tells_nothing(session, boots):
    short = make_product(session, stock=1)
    buyer = make_buyer(session)
    with refused(session, Conflict, "out_of_stock"):
        place_order(session, actor_of(buyer), wanted((boots, 9), (short, 2)), ORDER_RULES, NOW)


def test_the_hot_path_sends_no_statement_more_for_a_threshold_that_is_not_reached(session, seller):
    buyer = make_buyer(session)
    statements = []

    def sent(*arguments) -> None:
        statements.append(arguments[2])

    def count(product) -> int:
        statements.clear()
        buy(session, buyer, (product, 1))
        return len(statements)

    plain = make_product(session, seller)
    watched = make_product(session, seller, low_stock_threshold=5)
    reached = make_product(session, seller, low_stock_threshold=9)
    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", sent)
    try:
        usual = count(plain)
        assert count(watched) == usual
        assert count(reached) == usual + 1
    finally:
        event.remove(engine, "before_cursor_execute", sent)
