"""What a user was told: theirs to read, once."""

from datetime import timedelta

from sqlalchemy import select

from app.errors import NotFound
from app.models import Notification
from app.policies import Role
from app.services.notifications import (
    count_unread,
    list_notifications,
    mark_all_read,
    mark_read,
)
from app.services.pages import PageRequest
from tests.core import ask_to_pay, buy, make_buyer, pay, refused
from tests.factories import NOW, actor_of, ids, make_notification, make_product, make_user

LATER = NOW + timedelta(minutes=5)


def read(session, user, **options) -> list[int]:
    return ids(list_notifications(session, actor_of(user), PageRequest(), **options).rows)


def test_each_reads_their_own_newest_first(session):
    amina, baraka = make_buyer(session), make_buyer(session)
    first, second = make_notification(session, amina), make_notification(session, amina)
    theirs = make_notification(session, baraka)
    mark_read(session, actor_of(amina), first.id, NOW)

    assert read(session, amina) == [second.id, first.id]
    assert read(session, amina, unread=True) == [second.id]
    assert read(session, amina, unread=False) == [first.id]
    assert read(session, baraka) == [theirs.id]
    assert read(session, make_user(session, Role.ADMIN)) == []
    assert [count_unread(session, actor_of(user)) for user in (amina, baraka)] == [1, 1]


def test_the_moment_of_the_first_reading_stays(session):
    amina = make_buyer(session)
    row = make_notification(session, amina)
    for moment in (NOW, LATER):
        mark_read(session, actor_of(amina), row.id, moment)
        mark_all_read(session, actor_of(amina), moment)
    session.refresh(row)

    assert row.read_at == NOW


def test_nobody_reads_for_another_not_even_an_admin(session):
    row = make_notification(session, make_buyer(session))
    for other in (make_buyer(session), make_user(session, Role.ADMIN)):
        for notification_id in (row.id, 999_999):
            with refused(session, NotFound, "notification_not_found"):
                mark_read(session, actor_of(other), notification_id, NOW)


def test_reading_all_reads_ones_own(session):
    amina, baraka = make_buyer(session), make_buyer(session)
    for user in (amina, amina, baraka):
        make_notification(session, user)
    mark_all_read(session, actor_of(amina), NOW)

    assert [count_unread(session, actor_of(user)) for user in (amina, baraka)] == [0, 1]
    assert read(session, amina, unread=True) == []


def test_each_seller_of_a_paid_order_is_told_once_and_the_buyer_too(session):
    one, two = make_user(session, Role.SELLER), make_user(session, Role.SELLER)
    lines = [(make_product(session, seller), 1) for seller in (one, two, one)]
    order = buy(session, amina := make_buyer(session), *lines)
    payment = ask_to_pay(session, order)
    for _ in range(2):
        pay(session, payment)

    columns = (Notification.user_id, Notification.kind, Notification.order_id)
    assert [tuple(row) for row in session.execute(select(*columns).order_by(Notification.id))] == [
        (amina.id, "order_paid", order.id),
        (one.id, "sale", order.id),
        (two.id, "sale", order.id),
    ]
