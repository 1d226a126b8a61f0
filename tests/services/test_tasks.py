"""Tasks: who sees them, who changes what, to whom they may be given."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import Notification, Order, Task, TaskKind, TaskPriority, TaskStatus
from app.policies import Role
from app.services.change_tasks import NewTask, TaskChange, change_task, create_task, delete_task
from app.services.pages import PageRequest
from app.services.records import Matter, file_task
from app.services.tasks import TaskFilter, find_task, list_tasks
from tests.core import after, buy, make_buyer, refused, thrown_away
from tests.factories import NOW, actor_of, ids, make_product, make_task, make_user

LATER = NOW + timedelta(minutes=5)


class People:
    """One of each, and an order of the customer's with the seller's product."""

    def __init__(self, session) -> None:
        self.customer = make_buyer(session, username="amina")
        self.stranger = make_buyer(session)
        self.seller = make_user(session, Role.SELLER, username="duka")
        self.other_seller = make_user(session, Role.SELLER)
        self.admin = make_user(session, Role.ADMIN, username="mkuu")
        self.suspended = make_buyer(session, suspended_at=NOW)
        product = make_product(session, self.seller)
        self.order: Order = buy(session, self.customer, (product, 1))


@pytest.fixture
def people(session) -> People:
    return People(session)


@pytest.fixture
def matter(session) -> Task:
    """What the shop filed."""
    file_task(session, Matter(TaskKind.LATE_MONEY, "Refund", "KES 5", "late:1"), NOW)
    return session.scalars(select(Task).where(Task.kind == TaskKind.LATE_MONEY)).one()


def change(session, user, task, **fields) -> Task:
    return change_task(session, actor_of(user), task.id, TaskChange(**fields), LATER)


def told(session) -> list[tuple]:
    columns = (
        Notification.user_id,
        Notification.kind,
        Notification.body,
        Notification.task_id,
        Notification.order_id,
    )
    return [tuple(row) for row in session.execute(select(*columns).order_by(Notification.id))]


def seen(session, user, **wanted) -> list[int]:
    return ids(list_tasks(session, actor_of(user), TaskFilter(**wanted), PageRequest()).rows)


def test_a_task_is_its_makers_and_a_persons_own(session, people):
    task = create_task(session, actor_of(people.customer), NewTask("Collect"), NOW)

    assert (task.kind, task.status, task.priority) == ("manual", "todo", "normal")
    assert (task.owner_id, task.assignee_id) == (people.customer.id, None)
    assert (task.due_at, task.order_id, task.payment_id) == (None, None, None)
    assert told(session) == []


def test_one_sees_ones_own_and_what_one_was_given_and_admins_see_all(session, people, matter):
    own = make_task(session, people.customer, order_id=people.order.id)
    given = make_task(session, people.admin, assignee_id=people.customer.id)
    sellers = make_task(session, people.seller)
    everything = [sellers.id, given.id, own.id, matter.id]

    assert seen(session, people.customer) == [given.id, own.id]
    assert seen(session, people.seller) == [sellers.id], "nor what a buyer wrote of their order"
    assert seen(session, people.stranger) == []
    assert seen(session, people.admin) == everything
    for user in (people.customer, people.seller, people.stranger, people.admin):
        for task_id in (*everything, 999_999):
            if task_id in seen(session, user):
                assert find_task(session, actor_of(user), task_id).id == task_id
            else:
                with refused(session, NotFound, "task_not_found"):
                    find_task(session, actor_of(user), task_id)


def test_filters_hold_together_and_inside_what_one_may_see(session, people, matter):
    soon = make_task(session, people.customer, due_at=after(hours=1), status=TaskStatus.DONE)
    late = make_task(session, people.customer, due_at=after(hours=3))
    theirs = make_task(session, people.admin, assignee_id=people.seller.id)
    about = make_task(session, people.customer, order_id=people.order.id)

    assert seen(session, people.customer, status=TaskStatus.DONE) == [soon.id]
    assert seen(session, people.customer, due_before=after(hours=3)) == [soon.id]
    assert seen(session, people.customer, due_before=after(hours=4)) == [late.id, soon.id]
    assert seen(session, people.customer, order_id=people.order.id) == [about.id]
    assert seen(session, people.customer, assignee_id=people.seller.id) == []
    assert seen(session, people.admin, assignee_id=people.seller.id) == [theirs.id]
    assert seen(session, people.admin, kind=TaskKind.LATE_MONEY) == [matter.id]
    assert seen(session, people.customer, kind=TaskKind.LATE_MONEY) == []
    assert seen(session, people.admin, status=TaskStatus.DONE, due_before=NOW) == []


def test_who_may_give_a_task_to_whom(session, people):
    customer, seller, admin = people.customer, people.seller, people.admin
    about = people.order.id
    allowed = [
        (customer, customer, None),
        (customer, customer, about),
        (seller, seller, None),
        (seller, customer, about),
        (seller, people.stranger, about),
        (admin, seller, None),
        (admin, customer, about),
    ]
    for maker, assignee, order_id in allowed:
        with thrown_away(session):
            new = NewTask("Pack", assignee_id=assignee.id, order_id=order_id)
            task = create_task(session, actor_of(maker), new, NOW)
            body = f"{maker.username} gave you: Pack"
            expected = [(assignee.id, "task_assigned", body, task.id, order_id)]
            assert told(session) == ([] if assignee is maker else expected)
    for maker, assignee_id, order_id in [
        (customer, seller.id, None),
        (customer, seller.id, about),
        (customer, 999_999, None),  # nor is it learnt who has an account
        (seller, customer.id, None),
        (people.other_seller, customer.id, None),
    ]:
        with refused(session, Forbidden, "may_not_assign"):
            new = NewTask("Pack", assignee_id=assignee_id, order_id=order_id)
            create_task(session, actor_of(maker), new, NOW)


def test_a_seller_who_only_bought_something_gives_no_task_about_it(session, people):
    order = buy(session, people.other_seller, (make_product(session), 1))
    with refused(session, Forbidden, "may_not_assign"):
        new = NewTask("Pack", assignee_id=people.seller.id, order_id=order.id)
        create_task(session, actor_of(people.other_seller), new, NOW)


def test_an_order_and_an_assignee_that_are_not_there_are_named(session, people):
    task = make_task(session, people.customer)
    cases = [
        (people.stranger, {"order_id": people.order.id}, "order_id"),
        (people.other_seller, {"order_id": people.order.id}, "order_id"),
        (people.customer, {"order_id": 999_999}, "order_id"),
        (people.admin, {"order_id": 999_999}, "order_id"),
        (people.admin, {"assignee_id": 999_999}, "assignee_id"),
        (people.admin, {"assignee_id": people.suspended.id}, "assignee_id"),
    ]
    for maker, fields, field in cases:
        with refused(session, InvalidInput, "invalid_input") as caught:
            create_task(session, actor_of(maker), NewTask("Pack", **fields), NOW)
        assert [error["field"] for error in caught.value.errors] == [field]
        if maker in (people.customer, people.admin):
            with refused(session, InvalidInput, "invalid_input"):
                change(session, maker, task, **fields)


def test_an_owner_and_an_admin_change_everything(session, people):
    for user in (people.customer, people.admin):
        with thrown_away(session):
            task = make_task(session, people.customer)
            change(
                session,
                user,
                task,
                title="Other",
                description="More",
                status=TaskStatus.DONE,
                priority=TaskPriority.HIGH,
                due_at=after(hours=1),
                order_id=people.order.id,
                assignee_id=people.customer.id,
            )
            session.refresh(task)
            assert (task.title, task.description, task.status) == ("Other", "More", "done")
            assert (task.priority, task.due_at) == ("high", after(hours=1))
            assert (task.order_id, task.assignee_id) == (people.order.id, people.customer.id)
            assert (task.owner_id, task.updated_at) == (people.customer.id, LATER)
            change(session, user, task, due_at=None, order_id=None, assignee_id=None)
            assert (task.due_at, task.order_id, task.assignee_id) == (None, None, None)


def test_who_was_given_a_task_moves_it_on_and_no_more(session, people):
    task = make_task(session, people.admin, assignee_id=people.customer.id)
    change(session, people.customer, task, status=TaskStatus.DONE, priority=TaskPriority.LOW)
    assert (task.status, task.priority, task.updated_at) == ("done", "low", LATER)
    change(session, people.customer, task, title=task.title, assignee_id=people.customer.id)
    for fields in (
        {"title": "Mine"},
        {"description": "Mine"},
        {"due_at": NOW},
        {"assignee_id": None},
        {"order_id": people.order.id},
        {"status": TaskStatus.TODO, "title": "Mine"},
    ):
        with refused(session, Forbidden, "not_your_task"):
            change(session, people.customer, task, **fields)
    with refused(session, Forbidden, "not_your_task"):
        delete_task(session, actor_of(people.customer), task.id)


def test_a_change_of_nothing_leaves_the_task_as_it_was(session, people):
    task = make_task(session, people.customer)
    for fields in ({}, {"title": task.title, "status": TaskStatus.TODO, "assignee_id": None}):
        change(session, people.customer, task, **fields)
        assert task.updated_at == NOW


def test_a_new_assignee_is_told_and_the_same_one_is_not_told_again(session, people):
    task = make_task(session, people.admin, title="Pack")
    for _ in range(2):
        change(session, people.admin, task, assignee_id=people.seller.id)
    assert told(session) == [
        (people.seller.id, "task_assigned", "mkuu gave you: Pack", task.id, None)
    ]
    change(session, people.admin, task, assignee_id=people.admin.id)
    assert len(told(session)) == 1


def test_a_task_given_away_stays_about_an_order_that_allows_it(session, people):
    new = NewTask("Pack", assignee_id=people.stranger.id, order_id=people.order.id)
    task = create_task(session, actor_of(people.seller), new, NOW)
    with refused(session, Forbidden, "may_not_assign"):
        change(session, people.seller, task, order_id=None)
    change(session, people.seller, task, title="Pack well")
    change(session, people.seller, task, order_id=None, assignee_id=None)
    assert (task.order_id, task.assignee_id) == (None, None)


def test_what_the_shop_filed_is_given_and_done_but_never_rewritten(session, people, matter):
    change(session, people.admin, matter, assignee_id=people.seller.id, due_at=after(hours=1))
    change(session, people.seller, matter, status=TaskStatus.IN_PROGRESS)
    assert (matter.owner_id, matter.assignee_id) == (None, people.seller.id)
    assert (matter.status, matter.priority) == ("in_progress", "high")
    for fields in ({"title": "x"}, {"description": "x"}, {"order_id": people.order.id}):
        with refused(session, Conflict, "task_filed_by_shop"):
            change(session, people.admin, matter, **fields)
    with refused(session, Conflict, "task_filed_by_shop"):
        delete_task(session, actor_of(people.admin), matter.id)
    with refused(session, Forbidden, "not_your_task"):
        delete_task(session, actor_of(people.seller), matter.id)


def test_what_is_about_money_is_neither_done_nor_opened_again_by_a_word(session, people, matter):
    for user in (people.admin, people.seller):
        change(session, people.admin, matter, assignee_id=people.seller.id)
        with refused(session, Conflict, "needs_a_decision"):
            change(session, user, matter, status=TaskStatus.DONE)
    matter.status = TaskStatus.DONE  # as a decision leaves it
    session.flush()
    for status in (TaskStatus.TODO, TaskStatus.IN_PROGRESS):
        with refused(session, Conflict, "needs_a_decision"):
            change(session, people.admin, matter, status=status)
    other = make_task(session, None, kind=TaskKind.MPESA_CONFIGURATION)
    change(session, people.admin, other, status=TaskStatus.DONE)
    assert other.status == "done"


def test_a_deleted_task_is_gone_and_what_was_told_of_it_stays(session, people):
    for user in (people.seller, people.admin):
        new = NewTask("Pack", assignee_id=people.customer.id, order_id=people.order.id)
        task = create_task(session, actor_of(people.seller), new, NOW)
        with refused(session, NotFound, "task_not_found"):
            delete_task(session, actor_of(people.stranger), task.id)
        delete_task(session, actor_of(user), task.id)
        assert seen(session, people.admin) == []
    assert [(row[0], row[3]) for row in told(session)] == [(people.customer.id, None)] * 2
