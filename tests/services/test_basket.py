"""Baskets: nothing put in is lost, nothing vanishes, and one form orders once."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.errors import Conflict, InvalidInput, NotFound
from app.jobs.tidy import delete_expired_rows
from app.jobs.work import Work
from app.models import Basket, BasketLine, Order, Product
from app.models.basket import MAX_BASKET_QUANTITY
from app.policies import Role
from app.services.audit import audit
from app.services.basket import (
    MAX_BASKET_LINES,
    BasketOwner,
    CheckOut,
    add_to_basket,
    check_out,
    count_units,
    fill_from_order,
    join_baskets,
    look_into_basket,
    set_quantity,
)
from app.services.place_order import MAX_UNITS_OF_A_PRODUCT, WantedLine
from tests.core import (
    ORDER_RULES,
    after,
    buy,
    counts,
    is_clean,
    make_buyer,
    refused,
    reservations,
)
from tests.factories import NOW, actor_of, make_product, make_user
from tests.races.starting_line import tally, together

GUEST = BasketOwner(token_hash="a" * 64)


def owner_of(user) -> BasketOwner:
    return BasketOwner(user_id=user.id)


def put(session, owner, *lines, now=NOW) -> None:
    for product, quantity in lines:
        add_to_basket(session, owner, WantedLine(product.id, quantity), now)


def contents(session, owner) -> list[tuple[int, int]]:
    return [(line.product.id, line.quantity) for line in look_into_basket(session, owner).lines]


def form_of(session, user, **fields) -> CheckOut:
    """What the checkout page would send now."""
    basket = look_into_basket(session, owner_of(user))
    return replace(CheckOut(basket.version, basket.total_cents), **fields)


@pytest.fixture
def boots(session):
    return make_product(session, stock=5, price_cents=150_000)


@pytest.fixture
def socks(session):
    return make_product(session, stock=10, price_cents=9_950)


@pytest.fixture
def buyer(session):
    return make_buyer(session)


def test_a_basket_belongs_to_one_of_two_and_is_made_by_the_first_thing_put_in(session, boots):
    for nobody in ({}, {"user_id": 1, "token_hash": "a"}):
        with pytest.raises(ValueError, match="a user or to a guest"):
            BasketOwner(**nobody)
    assert look_into_basket(session, None) == look_into_basket(session, GUEST)
    assert look_into_basket(session, GUEST).lines == ()
    assert look_into_basket(session, GUEST).can_be_ordered is False
    assert session.scalar(select(func.count()).select_from(Basket)) == 0

    put(session, GUEST, (boots, 1))
    assert session.scalars(select(Basket.token_hash)).all() == ["a" * 64]
    assert MAX_BASKET_QUANTITY == MAX_UNITS_OF_A_PRODUCT


def test_what_is_put_in_adds_up_and_holds_no_stock(session, buyer, boots, socks):
    owner = owner_of(buyer)
    put(session, owner, (boots, 2), (socks, 1), (boots, 4))

    view = look_into_basket(session, owner)
    assert contents(session, owner) == [(boots.id, 6), (socks.id, 1)]
    assert (view.total_cents, view.units, count_units(session, owner)) == (909_950, 7, 7)
    assert (view.version, count_units(session, GUEST)) == (4, 0)
    assert counts(session, boots) == (5, 0)


def test_quantities_change_and_a_line_taken_out_twice_is_gone_once(session, buyer, boots, socks):
    owner = owner_of(buyer)
    put(session, owner, (boots, 2), (socks, 1))
    assert set_quantity(session, owner, WantedLine(boots.id, 5), NOW) == boots.name
    assert contents(session, owner) == [(boots.id, 5), (socks.id, 1)]

    for _ in range(2):
        assert set_quantity(session, owner, WantedLine(boots.id, 0), NOW) == boots.name
        assert contents(session, owner) == [(socks.id, 1)]
        assert look_into_basket(session, owner).version == 5
    for product_id in (boots.id, 999_999):
        with refused(session, NotFound, "not_in_basket"):
            set_quantity(session, owner, WantedLine(product_id, 1), NOW)
    with refused(session, NotFound, "not_in_basket"):
        set_quantity(session, owner, WantedLine(999_999, 0), NOW)


def test_what_cannot_go_in_is_refused(session, buyer, boots):
    owner = owner_of(buyer)
    put(session, owner, (boots, 1))
    sold_out = make_product(session, stock=0)
    deleted = make_product(session, deleted_at=NOW)
    for wanted, kind, code in (
        (WantedLine(sold_out.id, 1), Conflict, "out_of_stock"),
        (WantedLine(deleted.id, 1), NotFound, "product_not_found"),
        (WantedLine(999_999, 1), NotFound, "product_not_found"),
        (WantedLine(boots.id, 1000), InvalidInput, "invalid_input"),
    ):
        with refused(session, kind, code):
            add_to_basket(session, owner, wanted, NOW)

    seller = make_user(session, Role.SELLER)
    put(session, owner, *[(make_product(session, seller), 1) for _ in range(MAX_BASKET_LINES - 1)])
    with refused(session, Conflict, "basket_full"):
        put(session, owner, (make_product(session, seller), 1))
    put(session, owner, (boots, 1))


def test_a_basket_tells_what_changed_and_keeps_every_line(session, buyer, boots, socks):
    owner = owner_of(buyer)
    gone = make_product(session, price_cents=100)
    put(session, owner, (boots, 5), (socks, 1), (gone, 3))
    boots.on_hand, socks.price_cents, gone.deleted_at = 2, 12_000, NOW
    session.flush()

    view = look_into_basket(session, owner)
    facts = [
        (line.left, line.is_short, line.is_gone, line.price_changed, line.can_be_had)
        for line in view.lines
    ]
    assert facts == [
        (2, True, False, False, False),
        (10, False, False, True, True),
        (0, False, True, False, False),
    ]
    assert view.lines[1].price_cents_before == 9_950
    assert (view.total_cents, view.can_be_ordered) == (5 * 150_000 + 12_000, False)

    set_quantity(session, owner, WantedLine(boots.id, 2), NOW)
    set_quantity(session, owner, WantedLine(gone.id, 0), NOW)
    assert look_into_basket(session, owner).can_be_ordered is True


def test_a_guests_basket_joins_the_users_with_the_larger_quantities(session, buyer, boots, socks):
    third = make_product(session)
    put(session, owner_of(buyer), (boots, 1), (socks, 4))
    put(session, GUEST, (boots, 3), (socks, 2), (third, 1))

    for _ in range(2):
        assert join_baskets(session, GUEST.token_hash, buyer.id, NOW) == []
        assert contents(session, owner_of(buyer)) == [(boots.id, 3), (socks.id, 4), (third.id, 1)]
        assert session.scalars(select(Basket.user_id)).all() == [buyer.id]
        assert look_into_basket(session, owner_of(buyer)).version == 4
    stranger = make_buyer(session)
    assert join_baskets(session, "b" * 64, stranger.id, NOW) == []
    assert session.scalars(select(Basket.user_id)).all() == [buyer.id]


def test_what_finds_no_room_at_the_sign_in_is_named(session, buyer):
    seller = make_user(session, Role.SELLER)
    own = [make_product(session, seller) for _ in range(MAX_BASKET_LINES - 1)]
    fits, left_over = make_product(session, seller), make_product(session, seller, name="Kiondo")
    put(session, owner_of(buyer), *[(product, 1) for product in own])
    put(session, GUEST, (fits, 2), (left_over, 2))

    assert join_baskets(session, GUEST.token_hash, buyer.id, NOW) == ["Kiondo"]
    assert contents(session, owner_of(buyer))[-1] == (fits.id, 2)


def test_a_basket_becomes_one_order_however_often_its_form_is_sent(session, buyer, boots, socks):
    put(session, owner_of(buyer), (boots, 2), (socks, 1))
    form = form_of(
        session, buyer, phone_number="254700000001", delivery_address="Moi Avenue", note="Ring"
    )
    placed = check_out(session, actor_of(buyer), form, ORDER_RULES, NOW)

    order = session.get_one(Order, placed.order_id)
    assert placed.is_new is True
    assert (order.total_cents, order.phone_number, order.delivery_address, order.note) == (
        309_950,
        "254700000001",
        "Moi Avenue",
        "Ring",
    )
    assert contents(session, owner_of(buyer)) == []
    put(session, owner_of(buyer), (socks, 1))  # and the back button after that
    for _ in range(2):
        again = check_out(session, actor_of(buyer), form, ORDER_RULES, after(minutes=1))
        assert (again.order_id, again.is_new) == (order.id, False)
    assert contents(session, owner_of(buyer)) == [(socks.id, 1)]
    assert reservations(session, order) == [(boots.id, 2, "active"), (socks.id, 1, "active")]
    assert is_clean(session)


def test_a_form_that_does_not_fit_orders_nothing(session, buyer, boots, socks):
    actor = actor_of(buyer)
    with refused(session, Conflict, "basket_empty"):
        check_out(session, actor, form_of(session, buyer), ORDER_RULES, NOW)
    put(session, owner_of(buyer), (boots, 3), (socks, 1))
    form = form_of(session, buyer)
    cases = [
        (replace(form, version=form.version - 1), Conflict, "basket_changed"),
        (replace(form, version=form.version + 1), Conflict, "basket_changed"),
        (replace(form, total_cents=form.total_cents - 1), Conflict, "prices_changed"),
    ]
    for wrong, kind, code in cases:
        with refused(session, kind, code):
            check_out(session, actor, wrong, ORDER_RULES, NOW)
    boots.on_hand = 2
    with refused(session, Conflict, "out_of_stock"):
        check_out(session, actor, form, ORDER_RULES, NOW)
    boots.on_hand, socks.deleted_at = 5, NOW
    with refused(session, InvalidInput, "unknown_product"):
        check_out(session, actor, form, ORDER_RULES, NOW)


def test_an_order_fills_the_basket_again_as_far_as_it_can(session, buyer, boots, socks):
    gone = make_product(session, name="Kanga")
    order = buy(session, buyer, (boots, 2), (socks, 1), (gone, 1))
    gone.deleted_at = NOW
    put(session, owner_of(buyer), (socks, 3))

    for _ in range(2):
        assert fill_from_order(session, actor_of(buyer), order.id, NOW) == ["Kanga"]
        assert contents(session, owner_of(buyer)) == [(socks.id, 3), (boots.id, 2)]
    for other in (make_buyer(session), make_user(session, Role.ADMIN)):
        with refused(session, NotFound, "order_not_found"):
            fill_from_order(session, actor_of(other), order.id, NOW)


def test_guests_baskets_are_forgotten_after_a_month_and_users_never(database, ports, config):
    with database.transaction() as session:
        boots, buyer = make_product(session), make_buyer(session)
        put(session, GUEST, (boots, 1))
        put(session, BasketOwner(token_hash="b" * 64), (boots, 1), now=after(days=1))
        put(session, owner_of(buyer), (boots, 1))
    work = Work(database, replace(ports, clock=lambda: after(days=30)), config)
    for _ in range(2):
        delete_expired_rows(work)
        with database.reading() as session:
            kept = session.execute(select(Basket.user_id, Basket.token_hash)).all()
            assert set(map(tuple, kept)) == {(None, "b" * 64), (buyer.id, None)}
            assert session.scalar(select(func.count()).select_from(BasketLine)) == 2


def committed(database, action):
    def run():
        with database.transaction() as session:
            return action(session)

    return run


def test_the_same_form_sent_eight_times_at_once_orders_once(database):
    with database.transaction() as session:
        boots, buyer = make_product(session, stock=50), make_buyer(session)
        put(session, owner_of(buyer), (boots, 3))
        form = form_of(session, buyer)
    actor = actor_of(buyer)

    answers = together(
        [committed(database, lambda s: check_out(s, actor, form, ORDER_RULES, NOW))] * 8
    )

    assert tally([answer.is_new for answer in answers]) == {True: 1, False: 7}
    with database.reading() as session:
        orders = session.scalars(select(Order.id)).all()
        assert {answer.order_id for answer in answers} == set(orders)
        assert len(orders) == 1
        assert counts(session, boots) == (50, 3)
        assert contents(session, owner_of(buyer)) == []
        assert audit(session, NOW) == []


def test_tabs_that_add_at_once_lose_nothing_even_while_one_signs_in(database):
    with database.transaction() as session:
        products = [make_product(session, stock=50) for _ in range(2)]
        boots, socks = products
        buyer = make_buyer(session)
    owner = owner_of(buyer)

    def adding(who, product):
        return committed(
            database, lambda s: add_to_basket(s, who, WantedLine(product.id, 1), NOW).id
        )

    answers = together([adding(who, product) for who in (owner, GUEST) for product in products * 2])
    assert tally(answers) == {boots.id: 4, socks.id: 4}
    with database.reading() as session:
        for who in (owner, GUEST):
            assert sorted(contents(session, who)) == [(boots.id, 2), (socks.id, 2)]

    joining = committed(database, lambda s: join_baskets(s, GUEST.token_hash, buyer.id, NOW))
    answers = together([joining, *[adding(GUEST, boots)] * 4])
    assert answers == [[], *[boots.id] * 4]
    with database.reading() as session:
        mine, left_behind = contents(session, owner), contents(session, GUEST)
        found = dict(mine)[boots.id] + dict(left_behind).get(boots.id, 0)
        assert dict(mine)[socks.id] == 2
        assert found == 6
        assert session.get_one(Product, boots.id).reserved == 0
