"""Orders as the office sees them: whose lines, whose phone, and how they are found."""

import pytest

from app.errors import Forbidden, NotFound
from app.models import OrderStatus, PaymentStatus, User
from app.policies import Role
from app.services.move_order import fulfil_order
from app.services.pages import PageRequest
from app.services.shop_orders import (
    Buyer,
    ShopOrderFilter,
    find_shop_order,
    list_shop_orders,
)
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, actor_of, make_product, make_user

WHERE = {"phone_number": "254711222333", "delivery_address": "Moi Avenue 12", "note": "Ring twice"}


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN))


@pytest.fixture
def seller(session):
    return actor_of(make_user(session, Role.SELLER))


@pytest.fixture
def boots(session, seller):
    return make_product(
        session, session.get_one(User, seller.user_id), stock=50, price_cents=149_950
    )


@pytest.fixture
def buyer(session):
    return make_buyer(session, email="Juma@shop.example", email_key="juma@shop.example")


@pytest.fixture
def order(session, buyer, boots):
    """Boots of the seller's, and socks of another's."""
    socks = make_product(session, stock=50, price_cents=20_000)
    return buy(session, buyer, (socks, 3), (boots, 2), **WHERE)


def found(session, actor, **wanted) -> list[int]:
    page = list_shop_orders(session, actor, ShopOrderFilter(**wanted), PageRequest())
    return [row.order.id for row in page.rows]


def test_a_seller_is_shown_their_own_lines_and_what_those_add_up_to(
    session, admin, seller, boots, order
):
    shown = find_shop_order(session, seller, order.id).shown
    assert ([line.product_id for line in shown.lines], shown.cents, shown.pieces) == (
        [boots.id],
        299_900,
        2,
    )
    assert shown.has_other_lines is True
    (listed,) = list_shop_orders(session, seller, ShopOrderFilter(), PageRequest()).rows
    assert (listed.lines, listed.cents) == (shown.lines, 299_900)
    whole = find_shop_order(session, admin, order.id).shown
    assert (len(whole.lines), whole.cents, whole.has_other_lines) == (2, 359_900, False)


def test_a_buyer_is_shown_to_a_seller_while_there_is_something_to_bring(
    session, admin, seller, buyer, order
):
    def shown() -> Buyer:
        return find_shop_order(session, seller, order.id).shown.buyer

    masked = Buyer(buyer.id, buyer.username, "2547****333", phone_is_masked=True)
    whole = Buyer(buyer.id, buyer.username, *_place(""))
    assert shown() == masked
    pay(session, ask_to_pay(session, order))
    assert shown() == whole
    fulfil_order(session, seller, order.id, OrderStatus.SHIPPED, NOW)
    assert shown() == whole
    fulfil_order(session, seller, order.id, OrderStatus.DELIVERED, NOW)
    assert shown() == masked
    assert find_shop_order(session, admin, order.id).shown.buyer == Buyer(
        buyer.id, buyer.username, *_place("Juma@shop.example")
    )


def _place(email: str) -> tuple:
    return "254711222333", False, email, "Moi Avenue 12", "Ring twice"


def test_payments_tasks_and_names_of_others_are_for_an_admin(session, admin, seller, buyer, order):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    fulfil_order(session, admin, order.id, OrderStatus.SHIPPED, NOW)

    theirs = find_shop_order(session, seller, order.id)
    assert (theirs.payments, theirs.tasks, theirs.may_cancel) == ((), (), False)
    assert theirs.shown.payment_status == PaymentStatus.PAID
    assert [step.actor_name for step in theirs.steps] == [buyer.username, "", ""]
    everything = find_shop_order(session, admin, order.id)
    assert everything.payments == [payment]
    assert [step.actor_name for step in everything.steps] == [buyer.username, "", admin.username]
    assert everything.next_step == OrderStatus.DELIVERED


def test_what_one_buys_and_what_others_sell_is_not_in_ones_office(session, seller, order):
    other = make_user(session, Role.SELLER)
    bought = buy(session, other, (make_product(session), 1))
    for user, own in ((other, bought), (make_user(session, Role.SELLER), order)):
        with pytest.raises(NotFound):
            find_shop_order(session, actor_of(user), own.id)
        assert found(session, actor_of(user)) == []
    assert found(session, seller) == [order.id]


def test_how_orders_are_found(session, admin, seller, buyer, boots, order):
    later = buy(session, make_buyer(session), (boots, 1), now=after(days=1))
    pay(session, ask_to_pay(session, later, after(days=1)), after(days=1))

    assert found(session, admin) == [later.id, order.id]
    for wanted, expected in (
        ({"status": OrderStatus.PAID}, [later.id]),
        ({"number": order.number}, [order.id]),
        ({"buyer_phone": "254711222333"}, [order.id]),
        ({"buyer_phone": buyer.phone_number}, [order.id]),
        ({"buyer_email_key": "juma@shop.example"}, [order.id]),
        ({"buyer_email_key": "juma"}, []),
        ({"placed_from": NOW}, [later.id, order.id]),
        ({"placed_before": after(days=1)}, [order.id]),
        ({"placed_from": NOW, "placed_before": NOW}, []),
    ):
        assert found(session, admin, **wanted) == expected, wanted
    for wanted in ({"buyer_phone": "254711222333"}, {"buyer_email_key": "juma@shop.example"}):
        with pytest.raises(Forbidden):
            found(session, seller, **wanted)
