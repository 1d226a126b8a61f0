"""Units are held, given back, sold and sold again, each exactly once."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.models import MovementKind, Product, Reservation, ReservationState, StockMovement
from app.services.hold_stock import record_hold, take_units
from app.services.sell_stock import release_stock, sell_again, sell_held_stock
from tests.core import after, buy, counts, make_buyer, moves, reservations, snapshot
from tests.factories import NOW, make_product

LATER = after(minutes=1)


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=5)


@pytest.fixture
def socks(session):
    return make_product(session, name="Socks", stock=5)


@pytest.fixture
def order(session, boots, socks):
    return buy(session, make_buyer(session), (socks, 1), (boots, 2))


def ended(session, order) -> list:
    return list(
        session.scalars(
            select(Reservation.ended_at)
            .where(Reservation.order_id == order.id)
            .order_by(Reservation.product_id)
        )
    )


def test_units_are_taken_where_there_are_enough_and_the_rest_is_missing_from_the_answer(
    session, boots, socks
):
    taken = take_units(session, {socks.id: 6, boots.id: 5, 999_999: 1})

    assert list(taken) == [boots.id]
    assert (taken[boots.id].name, taken[boots.id].price_cents, taken[boots.id].seller_id) == (
        "Boots",
        150_000,
        boots.seller_id,
    )
    assert (counts(session, boots), counts(session, socks)) == ((5, 5), (5, 0))


def test_stock_goes_back_once(session, boots, socks, order):
    release_stock(session, order.id, LATER)
    once = snapshot(session)
    assert (counts(session, boots), counts(session, socks)) == ((5, 0), (5, 0))
    assert ended(session, order) == [LATER, LATER]

    release_stock(session, order.id, after(minutes=2))
    sell_held_stock(session, order.id, after(minutes=2))
    assert snapshot(session) == once


def test_sold_stock_leaves_the_shelf_once_and_never_comes_back(session, boots, socks, order):
    sell_held_stock(session, order.id, LATER)
    once = snapshot(session)
    assert (counts(session, boots), counts(session, socks)) == ((3, 0), (4, 0))
    assert reservations(session, order) == [
        (boots.id, 2, ReservationState.CONSUMED),
        (socks.id, 1, ReservationState.CONSUMED),
    ]
    assert moves(session, order)[2:] == [
        (MovementKind.SALE, boots.id, -2, -2),
        (MovementKind.SALE, socks.id, -1, -1),
    ]

    sell_held_stock(session, order.id, LATER)
    release_stock(session, order.id, LATER)
    assert sell_again(session, order.id, LATER) is False
    assert snapshot(session) == once


def test_stock_that_was_given_back_is_sold_again_once(session, boots, socks, order):
    release_stock(session, order.id, NOW)

    assert sell_again(session, order.id, LATER) is True
    once = snapshot(session)
    assert (counts(session, boots), counts(session, socks)) == ((3, 0), (4, 0))
    assert moves(session, order)[4:] == [
        (MovementKind.LATE_SALE, boots.id, -2, 0),
        (MovementKind.LATE_SALE, socks.id, -1, 0),
    ]
    assert ended(session, order) == [LATER, LATER]

    assert sell_again(session, order.id, LATER) is False
    assert snapshot(session) == once


@pytest.mark.parametrize("case", ["all promised", "shelf emptied", "deleted", "never released"])
def test_stock_that_is_not_all_there_is_not_sold_again_at_all(session, boots, socks, order, case):
    if case != "never released":
        release_stock(session, order.id, NOW)
    if case == "all promised":
        buy(session, make_buyer(session), (boots, 4))
    elif case == "shelf emptied":
        session.execute(update(Product).where(Product.id == boots.id).values(on_hand=1))
    elif case == "deleted":
        session.execute(update(Product).where(Product.id == boots.id).values(deleted_at=NOW))
    before = snapshot(session)

    assert sell_again(session, order.id, LATER) is False
    assert snapshot(session) == before


def test_the_database_refuses_a_second_movement_of_one_kind(session, boots, socks, order):
    release_stock(session, order.id, NOW)
    session.execute(
        update(Reservation)
        .where(Reservation.order_id == order.id)
        .values(state=ReservationState.ACTIVE)
    )
    session.execute(update(Product).where(Product.id == boots.id).values(reserved=2))
    session.execute(update(Product).where(Product.id == socks.id).values(reserved=1))
    before = snapshot(session)

    with pytest.raises(IntegrityError), session.begin_nested():
        release_stock(session, order.id, NOW)
    assert snapshot(session) == before


def test_the_database_refuses_to_hold_a_product_twice_for_one_order(session, boots, order):
    before = snapshot(session)
    with pytest.raises(IntegrityError), session.begin_nested():
        record_hold(session, order.id, {boots.id: 1}, NOW)
    assert snapshot(session) == before


def test_the_database_refuses_to_give_back_more_than_is_held(session, boots, order):
    session.execute(
        update(Reservation).where(Reservation.product_id == boots.id).values(quantity=3)
    )
    before = snapshot(session)

    with pytest.raises(IntegrityError), session.begin_nested():
        release_stock(session, order.id, NOW)
    assert snapshot(session) == before


def test_every_movement_of_a_sale_carries_its_moment(session, order):
    sell_held_stock(session, order.id, LATER)

    assert list(
        session.scalars(
            select(StockMovement.created_at)
            .where(StockMovement.order_id == order.id)
            .order_by(StockMovement.id)
        )
    ) == [NOW, NOW, LATER, LATER]


def test_a_held_product_that_is_deleted_is_still_sold_to_whom_it_was_promised(
    session, boots, order
):
    session.execute(update(Product).where(Product.id == boots.id).values(deleted_at=NOW))
    sell_held_stock(session, order.id, LATER)

    assert counts(session, boots) == (3, 0)
