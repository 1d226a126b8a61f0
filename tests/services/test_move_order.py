"""Cancel, expire, fulfil: who may, when, and stock that goes back exactly once."""

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, NotFound
from app.models import (
    MovementKind,
    Notification,
    Order,
    OrderStatus,
    Payment,
    PaymentState,
    ReservationState,
    Task,
    TaskStatus,
)
from app.policies import Role
from app.ports import PushStatus, Verdict
from app.services.confirm_payment import confirm_payment
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.move_order import ALLOWED_MOVES, fulfil_order, move_order
from app.services.payment_evidence import Failure
from app.services.record_push import record_refusal, record_silence
from tests.core import (
    after,
    ask_to_pay,
    books,
    buy,
    counts,
    is_clean,
    make_buyer,
    moves,
    order_steps,
    pay,
    refused,
    reservations,
    snapshot,
    thrown_away,
)
from tests.factories import NOW, actor_of, make_product, make_user

ENDED = [status for status in OrderStatus if status is not OrderStatus.PENDING]


@pytest.fixture
def seller(session):
    return make_user(session, Role.SELLER)


@pytest.fixture
def boots(session, seller):
    return make_product(session, seller, name="Boots", stock=10, price_cents=149_950)


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 2))


def notices(session, user) -> list[tuple]:
    return [
        tuple(row)
        for row in session.execute(
            select(Notification.kind, Notification.order_id)
            .where(Notification.user_id == user.id)
            .order_by(Notification.id)
        )
    ]


def test_a_cancelled_order_gives_its_stock_back_once(session, buyer, boots, order):
    later = after(minutes=1)
    assert cancel_order(session, actor_of(buyer), order.id, later) is order

    assert (order.status, order.updated_at, order.paid_at) == ("cancelled", later, None)
    assert counts(session, boots) == (10, 0)
    assert reservations(session, order) == [(boots.id, 2, ReservationState.RELEASED)]
    assert moves(session, order) == [
        (MovementKind.HOLD, boots.id, 0, 2),
        (MovementKind.RELEASE, boots.id, 0, -2),
    ]
    assert order_steps(session, order) == [
        (None, "pending", buyer.id, None),
        ("pending", "cancelled", buyer.id, None),
    ]
    assert notices(session, buyer) == [("order_cancelled", order.id)]
    assert is_clean(session, later)

    with refused(session, Conflict, "order_not_cancellable"):
        cancel_order(session, actor_of(buyer), order.id, later)


def test_an_admin_cancels_for_the_buyer_and_stands_in_the_history(session, boots, buyer, order):
    admin = make_user(session, Role.ADMIN)
    cancel_order(session, actor_of(admin), order.id, NOW)

    assert order_steps(session, order)[-1] == ("pending", "cancelled", admin.id, None)
    assert notices(session, buyer) == [("order_cancelled", order.id)]
    assert is_clean(session)


def test_attack_34_a_stranger_cannot_cancel_and_does_not_learn_that_the_order_exists(
    session, order
):
    stranger, other_seller = make_buyer(session), make_user(session, Role.SELLER)
    for nobody in (stranger, other_seller):
        with refused(session, NotFound, "order_not_found") as caught:
            cancel_order(session, actor_of(nobody), order.id, NOW)
        there = caught.value.detail
        with refused(session, NotFound, "order_not_found") as caught:
            cancel_order(session, actor_of(nobody), 999_999, NOW)
        assert caught.value.detail == there


def test_a_seller_sees_the_order_but_does_not_cancel_it(session, seller, order):
    with refused(session, Forbidden, "forbidden"):
        cancel_order(session, actor_of(seller), order.id, NOW)


def test_only_a_pending_order_is_cancelled(session, buyer, order):
    for status in ENDED:
        order.status = status
        session.flush()
        with refused(session, Conflict, "order_not_cancellable") as caught:
            cancel_order(session, actor_of(buyer), order.id, NOW)
        assert caught.value.detail == (
            f"Order {order.number} is {status} and can no longer be cancelled."
        )


def test_an_order_expires_at_its_minute_and_not_before(session, buyer, boots, order):
    before = snapshot(session)
    assert expire_order(session, order.id, after(minutes=15, microseconds=-1)) is False
    assert snapshot(session) == before

    due = after(minutes=15)
    assert expire_order(session, order.id, due) is True

    assert (order.status, order.updated_at) == ("expired", due)
    assert counts(session, boots) == (10, 0)
    assert order_steps(session, order)[1:] == [("pending", "expired", None, "not paid in time")]
    assert notices(session, buyer) == [("order_expired", order.id)]
    assert is_clean(session, due)


def test_expiring_twice_equals_once(session, boots, order):
    assert expire_order(session, order.id, after(minutes=15)) is True
    once = snapshot(session)

    assert expire_order(session, order.id, after(minutes=16)) is False
    assert snapshot(session) == once


def test_an_order_that_is_not_there_does_not_expire(session):
    assert expire_order(session, 999_999, NOW) is False


def test_only_a_pending_order_expires(session, order):
    for status in ENDED:
        order.status = status
        before = snapshot(session)
        assert expire_order(session, order.id, after(days=1)) is False
        assert snapshot(session) == before


def test_an_order_is_frozen_while_money_may_come(session, order):
    payment = ask_to_pay(session, order)
    for state in PaymentState:
        is_frozen = state in ("created", "pending", "unknown")
        with thrown_away(session):
            payment.status = state
            before = snapshot(session)
            assert expire_order(session, order.id, after(days=2)) is not is_frozen
            assert (snapshot(session) == before) is is_frozen


def test_an_order_expires_after_a_push_that_surely_failed_but_not_after_silence(session, order):
    payment = ask_to_pay(session, order, pushed=False)
    record_silence(session, payment.id, "timeout", NOW)
    assert expire_order(session, order.id, after(minutes=15)) is False

    session.refresh(payment)
    payment.status = PaymentState.CREATED
    session.flush()
    record_refusal(session, payment.id, code="400", message="no", customer_message="No.", now=NOW)
    assert expire_order(session, order.id, after(minutes=15)) is True
    assert is_clean(session)


def test_a_paid_order_is_shipped_and_then_delivered(session, buyer, seller, order):
    pay(session, ask_to_pay(session, order))
    session.refresh(order)
    buyers_books = books(session, order)
    for step, hour in ((OrderStatus.SHIPPED, 1), (OrderStatus.DELIVERED, 2)):
        fulfil_order(session, actor_of(seller), order.id, step, after(hours=hour))

    assert (order.status, order.updated_at, order.paid_at) == ("delivered", after(hours=2), NOW)
    assert order_steps(session, order)[2:] == [
        ("paid", "shipped", seller.id, None),
        ("shipped", "delivered", seller.id, None),
    ]
    assert notices(session, buyer)[-2:] == [
        ("order_shipped", order.id),
        ("order_delivered", order.id),
    ]
    assert books(session, order) == buyers_books
    assert is_clean(session)


@pytest.mark.parametrize(
    ("to", "only_from"),
    [(OrderStatus.SHIPPED, OrderStatus.PAID), (OrderStatus.DELIVERED, OrderStatus.SHIPPED)],
)
def test_an_order_is_fulfilled_step_by_step_only(session, seller, order, to, only_from):
    for status in set(OrderStatus) - {only_from}:
        order.status = status
        session.flush()
        with refused(session, Conflict, "order_not_fulfillable") as caught:
            fulfil_order(session, actor_of(seller), order.id, to, NOW)
        assert caught.value.detail == (
            f"Order {order.number} is {status}; it cannot become {to} now."
        )
    order.status = only_from
    session.flush()
    assert fulfil_order(session, actor_of(seller), order.id, to, NOW).status == to


def test_who_may_fulfil(session, buyer, seller, order):
    pay(session, ask_to_pay(session, order))
    with refused(session, Forbidden, "forbidden"):
        fulfil_order(session, actor_of(buyer), order.id, OrderStatus.SHIPPED, NOW)
    for nobody in (make_buyer(session), make_user(session, Role.SELLER)):
        with refused(session, NotFound, "order_not_found"):
            fulfil_order(session, actor_of(nobody), order.id, OrderStatus.SHIPPED, NOW)

    admin = make_user(session, Role.ADMIN)
    fulfil_order(session, actor_of(admin), order.id, OrderStatus.SHIPPED, NOW)
    assert order.status == OrderStatus.SHIPPED


def test_a_seller_who_bought_from_another_does_not_fulfil_the_own_order(session, boots):
    buying_seller = make_user(session, Role.SELLER)
    order = buy(session, buying_seller, (boots, 1))
    pay(session, ask_to_pay(session, order))

    with refused(session, Forbidden, "forbidden"):
        fulfil_order(session, actor_of(buying_seller), order.id, OrderStatus.SHIPPED, NOW)


def test_an_order_takes_no_step_that_is_not_in_the_table(session, order):
    for before in OrderStatus:
        order.status = before
        unmoved = snapshot(session)
        for to in set(OrderStatus) - ALLOWED_MOVES[before]:
            with pytest.raises(RuntimeError, match=f"never goes from {before} to {to}"):
                move_order(session, order, to, NOW)
        assert snapshot(session) == unmoved


def test_an_order_that_moved_meanwhile_is_not_moved_again(session, order):
    session.execute(Order.__table__.update().where(Order.id == order.id).values(status="cancelled"))
    unmoved = snapshot(session)

    with pytest.raises(RuntimeError, match="moved under our lock"):
        move_order(session, order, OrderStatus.PAID, NOW)
    assert snapshot(session) == unmoved


def test_cancelling_while_a_prompt_is_out_leaves_the_payment_to_its_fate(session, buyer, order):
    payment = ask_to_pay(session, order)
    cancel_order(session, actor_of(buyer), order.id, NOW)

    assert session.get_one(Payment, payment.id).status == PaymentState.PENDING
    assert is_clean(session)


def test_a_disputed_payment_ships_nothing_before_a_person_has_looked(session, seller):
    buyer = make_buyer(session)
    order = buy(session, buyer, (make_product(session, seller, stock=5), 1))
    payment = ask_to_pay(session, order)
    pay(session, payment)
    contradiction = PushStatus(Verdict.FAILED, "1032", "Request cancelled by user")
    confirm_payment(session, payment.id, contradiction, after(seconds=5))
    later = after(minutes=1)
    with refused(session, Conflict, "payment_disputed"):
        fulfil_order(session, actor_of(seller), order.id, OrderStatus.SHIPPED, later)

    session.scalars(select(Task)).one().status = TaskStatus.DONE
    fulfil_order(session, actor_of(seller), order.id, OrderStatus.SHIPPED, later)
    assert order.status == OrderStatus.SHIPPED


@pytest.mark.parametrize("told", [True, False])
def test_only_a_buyer_whose_order_waits_is_told_that_it_is_not_paid(session, seller, told):
    buyer = make_buyer(session)
    order = buy(session, buyer, (make_product(session, seller, stock=5), 1))
    payment = ask_to_pay(session, order)
    if not told:
        cancel_order(session, actor_of(buyer), order.id, NOW)
    failure = Failure("callback", PaymentState.CANCELLED, "1032", "cancelled", "Try again.")
    fail_payment(session, payment.id, failure, NOW)
    kinds = session.scalars(select(Notification.kind).order_by(Notification.id)).all()
    assert kinds == (["payment_failed"] if told else ["order_cancelled"])
