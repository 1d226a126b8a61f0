"""Many buyers, little stock: exactly what is there is sold, and nobody waits for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.models import Order, OrderStatus, Product, Reservation, StockMovement, User
from app.services.change_product import ProductChange, change_product
from app.services.end_order import cancel_order, expire_order
from app.services.place_order import place_order
from tests.core import ORDER_RULES, ask_to_pay, buy, counts, make_buyer, pay, wanted
from tests.factories import NOW, actor_of, make_product
from tests.looking import is_sound
from tests.races.starting_line import tally, together


def placing(database, buyer, *lines, rules=ORDER_RULES):
    def place() -> str:
        with database.transaction() as session:
            place_order(session, actor_of(buyer), wanted(*lines), rules, NOW)
        return "placed"

    return place


@pytest.mark.fault("F31")
def test_32_buyers_for_the_last_5_units_buy_exactly_5(database):
    with database.transaction() as session:
        boots = make_product(session, stock=5)
        buyers = [make_buyer(session) for _ in range(32)]

    answers = together([placing(database, buyer, (boots, 1)) for buyer in buyers])

    assert tally(answers) == {"placed": 5, "out_of_stock": 27}
    with database.reading() as session:
        assert counts(session, boots) == (5, 5)
        assert session.scalar(select(func.count()).select_from(Order)) == 5
        assert session.scalar(select(func.count()).select_from(Reservation)) == 5
    assert is_sound(database)


@pytest.mark.fault("F33")
def test_carts_in_opposite_order_never_deadlock(database):
    with database.transaction() as session:
        products = [make_product(session, stock=100) for _ in range(3)]
        buyers = [make_buyer(session) for _ in range(24)]
    forth = [(product, 1) for product in products]
    back = forth[::-1]

    answers = together(
        [placing(database, buyer, *(forth if at % 2 else back)) for at, buyer in enumerate(buyers)]
    )

    assert tally(answers) == {"placed": 24}
    with database.reading() as session:
        assert [counts(session, product) for product in products] == [(100, 24)] * 3
    assert is_sound(database)


def test_attack_91_the_cap_on_open_orders_is_exact_under_20_orders_at_once(database):
    with database.transaction() as session:
        boots = make_product(session, stock=100)
        buyer = make_buyer(session)
    rules = replace(ORDER_RULES, max_open_orders=7)

    answers = together([placing(database, buyer, (boots, 1), rules=rules) for _ in range(20)])

    assert tally(answers) == {"placed": 7, "too_many_open_orders": 13}
    with database.reading() as session:
        assert counts(session, boots) == (100, 7)
    assert is_sound(database)


def test_a_buyers_new_orders_and_the_payments_of_older_ones_never_deadlock(database):
    """An order locks its buyer, then products; a payment locks products and names the buyer."""
    with database.transaction() as session:
        boots = make_product(session, stock=100)
        buyer = make_buyer(session)
        payments = [
            ask_to_pay(session, buy(session, buyer, (boots, 1)), msisdn=f"2547000000{number:02d}")
            for number in range(8)
        ]

    def paying(payment):
        def settle() -> str:
            with database.transaction() as session:
                return pay(session, payment)

        return settle

    answers = together(
        [
            *(paying(payment) for payment in payments),
            *(placing(database, buyer, (boots, 1)) for _ in range(8)),
        ]
    )

    assert tally(answers) == {"settled": 8, "placed": 8}
    with database.reading() as session:
        assert counts(session, boots) == (92, 8)
    assert is_sound(database)


@pytest.mark.fault("F26")
@pytest.mark.parametrize("hands", [["expire"] * 8, ["cancel"] * 8, ["expire", "cancel"] * 4])
def test_an_order_that_many_end_at_once_gives_its_stock_back_once(database, hands):
    with database.transaction() as session:
        boots = make_product(session, stock=5)
        buyer = make_buyer(session)
        order = buy(session, buyer, (boots, 3))
    later = order.expires_at + timedelta(seconds=1)

    def ending(how: str):
        def end() -> bool:
            with database.transaction() as session:
                if how == "expire":
                    return expire_order(session, order.id, later)
                cancel_order(session, actor_of(buyer), order.id, later)
                return True

        return end

    answers = tally(together([ending(how) for how in hands]))

    assert answers.pop(True) == 1
    assert sum(answers.values()) == 7
    assert set(answers) <= {False, "order_not_cancellable"}
    with database.reading() as session:
        assert counts(session, boots) == (5, 0)
        assert list(
            session.execute(
                select(StockMovement.kind, StockMovement.reserved_delta)
                .where(StockMovement.order_id == order.id)
                .order_by(StockMovement.id)
            )
        ) == [("hold", 3), ("release", -3)]
        assert session.get_one(Order, order.id).status in (
            OrderStatus.CANCELLED,
            OrderStatus.EXPIRED,
        )
    assert is_sound(database)


def test_a_seller_who_restocks_while_buyers_buy_loses_no_unit(database):
    with database.transaction() as session:
        boots = make_product(session, stock=8)
        buyers = [make_buyer(session) for _ in range(8)]
        seller = session.get_one(User, boots.seller_id)

    def restock() -> str:
        with database.transaction() as session:
            change_product(session, actor_of(seller), boots.id, ProductChange(stock=20), NOW)
        return "restocked"

    answers = together([*(placing(database, buyer, (boots, 1)) for buyer in buyers), restock])

    assert tally(answers) == {"placed": 8, "restocked": 1}
    with database.reading() as session:
        product = session.get_one(Product, boots.id)
        assert product.reserved == 8
        assert 20 <= product.on_hand <= 28
    assert is_sound(database)
