"""An order is placed whole, with its stock held, or not at all."""

from dataclasses import replace

import pytest

from app.errors import Conflict, InvalidInput
from app.models import MovementKind, OrderStatus, ReservationState
from app.policies import Role
from app.services.delete_product import delete_product
from app.services.end_order import cancel_order, expire_order
from app.services.hold_stock import find_offers
from app.services.place_order import place_order
from app.utils.order_number import is_order_number
from tests.core import (
    ORDER_RULES,
    after,
    ask_to_pay,
    buy,
    counts,
    is_clean,
    make_buyer,
    moves,
    order_steps,
    pay,
    refused,
    reservations,
    wanted,
)
from tests.factories import NOW, actor_of, make_product, make_user


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=10, price_cents=149_950)


@pytest.fixture
def socks(session):
    return make_product(session, name="Socks", stock=3, price_cents=25_000)


def lines_of(session, order) -> list[tuple]:
    session.refresh(order, ["lines"])
    return [
        (line.position, line.product_id, line.product_name, line.quantity, line.unit_price_cents)
        for line in order.lines
    ]


def test_an_order_copies_names_prices_and_sellers_and_holds_the_stock(session, buyer, boots, socks):
    order = buy(session, buyer, (socks, 3), (boots, 2), phone_number="254712345678", note="Blue")

    assert lines_of(session, order) == [
        (0, socks.id, "Socks", 3, 25_000),
        (1, boots.id, "Boots", 2, 149_950),
    ]
    assert [line.seller_id for line in order.lines] == [socks.seller_id, boots.seller_id]
    assert (order.status, order.total_cents, order.user_id) == ("pending", 374_900, buyer.id)
    assert (order.phone_number, order.delivery_address, order.note) == (
        "254712345678",
        None,
        "Blue",
    )
    assert (order.created_at, order.updated_at, order.expires_at, order.paid_at) == (
        NOW,
        NOW,
        after(minutes=15),
        None,
    )
    assert (counts(session, boots), counts(session, socks)) == ((10, 2), (3, 3))
    assert reservations(session, order) == [
        (boots.id, 2, ReservationState.ACTIVE),
        (socks.id, 3, ReservationState.ACTIVE),
    ]
    assert moves(session, order) == [
        (MovementKind.HOLD, boots.id, 0, 2),
        (MovementKind.HOLD, socks.id, 0, 3),
    ]
    assert order_steps(session, order) == [(None, "pending", buyer.id, None)]
    assert is_clean(session)


def test_prices_and_names_changed_later_leave_the_order_as_it_was(session, buyer, boots):
    order = buy(session, buyer, (boots, 1))
    boots.name, boots.price_cents = "Rubber boots", 1
    session.flush()

    assert lines_of(session, order) == [(0, boots.id, "Boots", 1, 149_950)]
    assert order.total_cents == 149_950


def test_lines_that_name_one_product_are_added_together(session, buyer, boots, socks):
    order = buy(session, buyer, (boots, 2), (socks, 1), (boots, 3))

    assert lines_of(session, order) == [
        (0, boots.id, "Boots", 5, 149_950),
        (1, socks.id, "Socks", 1, 25_000),
    ]
    assert counts(session, boots) == (10, 5)
    assert moves(session, order) == [
        (MovementKind.HOLD, boots.id, 0, 5),
        (MovementKind.HOLD, socks.id, 0, 1),
    ]
    assert is_clean(session)


def test_a_hold_changes_the_version_that_the_etag_is_made_of(session, buyer, boots):
    version = boots.version
    buy(session, buyer, (boots, 1))
    session.refresh(boots)

    assert boots.version == version + 1


def test_too_little_stock_names_each_line_and_what_is_left_and_orders_nothing(
    session, buyer, boots, socks
):
    hats = make_product(session, name="Hats", stock=0)

    with refused(session, Conflict, "out_of_stock") as caught:
        buy(session, buyer, (boots, 10), (socks, 4), (hats, 1))

    assert caught.value.extra == {
        "lines": [
            {"product_id": socks.id, "name": "Socks", "requested": 4, "available": 3},
            {"product_id": hats.id, "name": "Hats", "requested": 1, "available": 0},
        ]
    }
    assert caught.value.errors == [
        {"field": "products.1.quantity", "message": "Only 3 of Socks left."},
        {"field": "products.2.quantity", "message": "Only 0 of Hats left."},
    ]
    assert caught.value.detail == (
        "Not enough in stock: Socks, 3 left; Hats, 0 left. Nothing was ordered."
    )


def test_merged_lines_are_held_against_the_stock_together(session, buyer, socks):
    with refused(session, Conflict, "out_of_stock") as caught:
        buy(session, buyer, (socks, 2), (socks, 2))

    assert caught.value.extra["lines"] == [
        {"product_id": socks.id, "name": "Socks", "requested": 4, "available": 3}
    ]
    assert [error["field"] for error in caught.value.errors] == ["products.0.quantity"]


def test_what_others_hold_cannot_be_bought(session, buyer, socks):
    buy(session, make_buyer(session), (socks, 2))

    with refused(session, Conflict, "out_of_stock") as caught:
        buy(session, buyer, (socks, 2))
    assert caught.value.extra["lines"][0]["available"] == 1

    buy(session, buyer, (socks, 1))
    assert counts(session, socks) == (3, 3)
    assert is_clean(session)


def test_an_unknown_product_is_named_on_its_first_line(session, buyer, boots):
    with refused(session, InvalidInput, "unknown_product") as caught:
        buy(session, buyer, (boots, 1), (999_999, 1), (boots, 1), (999_999, 2), (888_888, 1))

    assert caught.value.errors == [
        {"field": "products.4.product_id", "message": "There is no product 888888."},
        {"field": "products.1.product_id", "message": "There is no product 999999."},
    ]


def test_an_unknown_product_beside_a_short_one_is_the_clients_fault_first(session, buyer, socks):
    with refused(session, InvalidInput, "unknown_product") as caught:
        buy(session, buyer, (socks, 4), (999_999, 1))

    assert [error["field"] for error in caught.value.errors] == ["products.1.product_id"]


def test_a_deleted_product_is_unknown(session, buyer, boots):
    seller = make_user(session, Role.ADMIN)
    delete_product(session, actor_of(seller), boots.id, NOW)

    with refused(session, InvalidInput, "unknown_product"):
        buy(session, buyer, (boots, 1))


def test_a_whole_stock_can_be_bought(session, buyer, boots):
    buy(session, buyer, (boots, 10))

    assert counts(session, boots) == (10, 10)
    assert is_clean(session)


def test_merged_lines_may_not_exceed_a_thousand_units(session, buyer):
    pins = make_product(session, name="Pins", stock=5_000, price_cents=1)

    with refused(session, InvalidInput, "invalid_input") as caught:
        buy(session, buyer, (pins, 1000), (pins, 1))
    assert [error["field"] for error in caught.value.errors] == ["products.0.quantity"]

    assert buy(session, buyer, (pins, 999), (pins, 1)).total_cents == 1000


@pytest.mark.parametrize(("price_cents", "quantity"), [(25_000_000, 1), (25_000, 1000)])
def test_a_total_of_exactly_what_mpesa_carries_is_taken(session, buyer, price_cents, quantity):
    product = make_product(session, stock=1000, price_cents=price_cents)

    assert buy(session, buyer, (product, quantity)).total_cents == 25_000_000
    assert is_clean(session)


@pytest.mark.parametrize(
    ("price_cents", "quantity"), [(25_000_001, 1), (25_001, 1000), (999_999_999_999, 1000)]
)
def test_attack_44_a_total_above_what_mpesa_carries_is_refused(
    session, buyer, price_cents, quantity
):
    product = make_product(session, stock=1000, price_cents=price_cents)

    with refused(session, InvalidInput, "above_mpesa_limit") as caught:
        buy(session, buyer, (product, quantity))
    assert [error["field"] for error in caught.value.errors] == ["products"]


def test_attack_87_an_order_that_comes_to_nothing_is_refused(session, buyer):
    gift = make_product(session, price_cents=0)

    with refused(session, InvalidInput, "order_is_free"):
        buy(session, buyer, (gift, 1))


def test_attack_91_one_buyer_holds_only_so_many_open_orders(session, buyer, boots):
    rules = replace(ORDER_RULES, max_open_orders=2)
    first = buy(session, buyer, (boots, 1), rules=rules)
    second = buy(session, buyer, (boots, 1), rules=rules)

    with refused(session, Conflict, "too_many_open_orders") as caught:
        buy(session, buyer, (boots, 1), rules=rules)
    assert caught.value.detail == "You have 2 unpaid orders open. Pay or cancel one of them first."
    buy(session, make_buyer(session), (boots, 1), rules=rules)

    cancel_order(session, actor_of(buyer), first.id, NOW)
    buy(session, buyer, (boots, 1), rules=rules)
    pay(session, ask_to_pay(session, second))
    assert second.status == OrderStatus.PAID
    last = buy(session, buyer, (boots, 1), rules=rules)
    with refused(session, Conflict, "too_many_open_orders"):
        buy(session, buyer, (boots, 1), rules=rules)
    assert expire_order(session, last.id, after(minutes=15)) is True
    buy(session, buyer, (boots, 1), rules=rules)
    assert is_clean(session)


def test_the_same_wish_twice_makes_two_orders_with_two_numbers(session, buyer, boots):
    first, second = buy(session, buyer, (boots, 1)), buy(session, buyer, (boots, 1))

    assert first.number != second.number
    assert is_order_number(first.number)
    assert is_order_number(second.number)


def test_a_number_that_is_taken_is_not_given_again(session, buyer, boots, monkeypatch):
    numbers = iter(["K7M2Q9X", "K7M2Q9X", "ZZZZZZZ"])
    monkeypatch.setattr("app.services.write_order.new_order_number", lambda: next(numbers))

    first, second = buy(session, buyer, (boots, 1)), buy(session, buyer, (boots, 1))

    assert (first.number, second.number) == ("K7M2Q9X", "ZZZZZZZ")


def test_a_seller_may_buy_and_an_order_of_two_shops_is_one_order(session, boots, socks):
    seller = make_user(session, Role.SELLER)
    order = place_order(session, actor_of(seller), wanted((boots, 1), (socks, 1)), ORDER_RULES, NOW)

    assert {line.seller_id for line in (session.refresh(order, ["lines"]) or order.lines)} == {
        boots.seller_id,
        socks.seller_id,
    }


@pytest.mark.parametrize("changed", [{"price_cents": 149_949}, {"name": "Rubber boots"}])
def test_a_product_that_is_changed_while_the_order_is_written_orders_nothing(
    session, buyer, boots, socks, monkeypatch, changed
):
    """What was read of it before its row was locked is not what is sold."""
    stale = find_offers(session, [boots.id, socks.id])
    for name, value in changed.items():
        setattr(boots, name, value)
    session.flush()
    with monkeypatch.context() as patch:
        patch.setattr("app.services.place_order.find_offers", lambda *_: stale)
        with refused(session, Conflict, "prices_changed"):
            buy(session, buyer, (socks, 1), (boots, 1))

    assert buy(session, buyer, (socks, 1), (boots, 1)).status == "pending"


def test_units_that_are_gone_while_the_order_is_written_are_not_sold(
    session, buyer, socks, monkeypatch
):
    stale = find_offers(session, [socks.id])
    buy(session, buyer, (socks, 2))
    monkeypatch.setattr("app.services.place_order.find_offers", lambda *_: stale)

    with refused(session, Conflict, "out_of_stock") as caught:
        buy(session, buyer, (socks, 2))
    assert [line["available"] for line in caught.value.extra["lines"]] == [1]
