"""What a user was told: theirs to read, once."""

from datetime import timedelta

from app.errors import NotFound
from app.policies import Role
from app.services.notifications import (
    count_unread,
    list_notifications,
    mark_all_read,
    mark_read,
)
from app.services.pages import PageRequest
from tests.core import make_buyer, refused
from tests.factories import NOW, actor_of, ids, make_notification, make_user

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
