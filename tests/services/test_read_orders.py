"""Orders as people see them: scoped to who asks, with what the ledger says."""

import pytest

from app.errors import InvalidInput, NotFound
from app.models import Account, OrderStatus, PaymentState, PaymentStatus
from app.policies import Role
from app.services.ledger import book_payment
from app.services.pages import PageRequest
from app.services.read_orders import OrderFilter, OrderMoney, find_order, list_orders, money_of
from app.services.read_payments import PaymentFilter, find_payment, list_payments
from tests.core import after, ask_to_pay, buy, make_buyer, pay, thrown_away
from tests.factories import NOW, actor_of, make_product, make_user


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def boots(session, seller):
    return make_product(session, seller, stock=50, price_cents=149_950)


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1))


def seen(session, user, wanted=OrderFilter(), page=PageRequest()) -> list[int]:  # noqa: B008 - both are frozen
    return [view.order.id for view in list_orders(session, actor_of(user), wanted, page).rows]


def test_money_is_what_the_ledger_says(session, order):
    payment = ask_to_pay(session, order)
    assert money_of(session, [order.id, 999_999]) == {
        order.id: OrderMoney(0, 0, prompt_is_out=True),
        999_999: OrderMoney(0, 0, prompt_is_out=False),
    }
    book_payment(session, payment, Account.REFUNDS_DUE, NOW)
    payment.status = PaymentState.SUCCEEDED
    session.flush()
    assert money_of(session, [order.id]) == {
        order.id: OrderMoney(150_000, 150_000, prompt_is_out=False)
    }
    assert money_of(session, []) == {}


def test_how_an_order_stands_with_its_money(session, buyer, order):
    actor = actor_of(buyer)

    def stands() -> tuple:
        view = find_order(session, actor, order.id)
        return view.payment_status, view.amount_due_cents

    assert stands() == (PaymentStatus.UNPAID, 150_000)
    payment = ask_to_pay(session, order)
    for state in ("created", "pending", "unknown"):
        payment.status = state
        session.flush()
        assert stands() == (PaymentStatus.PENDING, 150_000)
    with thrown_away(session):
        payment.status = "failed"
        session.flush()
        assert stands() == (PaymentStatus.UNPAID, 150_000)
    pay(session, payment)
    assert stands() == (PaymentStatus.PAID, 0)
    order.status = OrderStatus.REFUNDED
    session.flush()
    assert stands() == (PaymentStatus.REFUNDED, 0)


def test_who_sees_an_order(session, buyer, seller, order):
    admin = make_user(session, Role.ADMIN)
    for somebody in (buyer, seller, admin):
        assert find_order(session, actor_of(somebody), order.id).order is order
        assert seen(session, somebody) == [order.id]
    for nobody in (make_buyer(session), make_user(session, Role.SELLER)):
        with pytest.raises(NotFound) as caught:
            find_order(session, actor_of(nobody), order.id)
        assert caught.value.code == "order_not_found"
        assert seen(session, nobody) == []


def test_a_seller_who_is_one_no_more_sees_only_their_own(session, seller, order):
    seller.role = "customer"
    session.flush()

    assert seen(session, seller) == []


def test_lines_stand_in_the_order_in_which_they_were_asked_for(session, buyer, boots):
    socks = make_product(session)
    order = buy(session, buyer, (socks, 1), (boots, 2))

    lines = find_order(session, actor_of(buyer), order.id).order.lines
    assert [(line.product_id, line.line_total_cents) for line in lines] == [
        (socks.id, 150_000),
        (boots.id, 299_900),
    ]


def test_filters_and_pages(session, buyer, boots, order):
    later = [buy(session, buyer, (boots, 1), now=after(minutes=m)).id for m in (1, 2, 3)]

    assert seen(session, buyer) == [*later[::-1], order.id]
    assert seen(session, buyer, OrderFilter(status=OrderStatus.PAID)) == []
    assert seen(
        session,
        buyer,
        OrderFilter(created_after=NOW, created_before=after(minutes=3)),
    ) == [later[1], later[0]]
    page = list_orders(
        session, actor_of(buyer), OrderFilter(), PageRequest(limit=3, include_total=True)
    )
    assert ([view.order.id for view in page.rows], page.total) == (later[::-1], 4)
    rest = PageRequest(limit=3, cursor=page.next_cursor)
    last = list_orders(session, actor_of(buyer), OrderFilter(), rest)
    assert ([view.order.id for view in last.rows], last.next_cursor, last.total) == (
        [order.id],
        None,
        None,
    )
    with pytest.raises(InvalidInput):
        seen(session, buyer, page=PageRequest(cursor="nonsense"))


def test_who_sees_a_payment(session, buyer, seller, order):
    payment = ask_to_pay(session, order)
    admin = make_user(session, Role.ADMIN)
    for somebody in (buyer, admin):
        assert find_payment(session, actor_of(somebody), payment.id) is payment
    for nobody in (seller, make_buyer(session)):
        with pytest.raises(NotFound) as caught:
            find_payment(session, actor_of(nobody), payment.id)
        assert caught.value.code == "transaction_not_found"
        page = list_payments(session, actor_of(nobody), PaymentFilter(), PageRequest())
        assert page.rows == []


def test_a_seller_is_shown_where_the_buyer_is_while_there_is_something_to_bring(
    session, buyer, seller, boots
):
    private = {
        "phone_number": "254712000999",
        "delivery_address": "Kenyatta Avenue 5",
        "note": "Ring twice",
    }
    order = buy(session, buyer, (boots, 1), **private)
    admin = make_user(session, Role.ADMIN)

    def known_to(user) -> set:
        one = find_order(session, actor_of(user), order.id)
        listed = list_orders(session, actor_of(user), OrderFilter(), PageRequest()).rows[0]
        assert [getattr(listed, name) for name in private] == [
            getattr(one, name) for name in private
        ]
        return {name for name in private if getattr(one, name) is not None}

    for status in OrderStatus:
        order.status = status
        session.flush()
        assert known_to(buyer) == known_to(admin) == set(private)
        brought = status in {OrderStatus.PAID, OrderStatus.SHIPPED}
        assert known_to(seller) == (set(private) if brought else set()), status
