"""Two pairs of eyes, and what a person's hand may do that no machine can."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import Decision, RefundKind, Task
from app.policies import Role
from app.services.records import Matter, file_task
from app.services.refunds import (
    approve_refund,
    record_by_hand,
    record_not_gone,
    reject_refund,
)
from tests.core import after, is_clean, refused, snapshot
from tests.factories import NOW, actor_of, make_user
from tests.refunding import (
    NEEDS_TWO,
    PAID,
    RULES,
    ask_refund,
    hear,
    lose,
    make_sale,
    open_tasks,
    refund_whole,
    send,
    steps,
    stray_money,
    went,
)

LATER = after(days=3)


@pytest.fixture
def sale(session):
    return make_sale(session)


@pytest.fixture
def waiting(session, sale):
    return ask_refund(session, sale.admin, sale.payment, rules=NEEDS_TWO)


def test_another_admin_lets_it_go(session, sale, waiting):
    approve_refund(session, actor_of(sale.other_admin), waiting.id, RULES, LATER)

    assert (waiting.state, waiting.approved_by) == ("created", sale.other_admin.id)
    assert waiting.next_check_at == after(days=3, seconds=30)
    assert steps(session, waiting) == [
        (None, "awaiting_approval", "request"),
        ("awaiting_approval", "created", "approval"),
    ]
    task = session.scalars(select(Task)).one()
    decision = session.scalars(select(Decision)).one()
    session.refresh(task)
    assert (task.status, decision.task_id, decision.actor_id, decision.action) == (
        "done",
        task.id,
        sale.other_admin.id,
        "approved",
    )
    assert is_clean(session, LATER)


def test_who_asked_never_approves_it(session, sale, waiting):
    with refused(session, Forbidden, "own_refund"):
        approve_refund(session, actor_of(sale.admin), waiting.id, RULES, NOW)


@pytest.mark.parametrize("role", [Role.SELLER, Role.CUSTOMER])
def test_nobody_but_an_admin_decides(session, sale, waiting, role):
    somebody = actor_of(make_user(session, role))
    for act in (
        lambda: approve_refund(session, somebody, waiting.id, RULES, NOW),
        lambda: reject_refund(session, somebody, waiting.id, "No", NOW),
        lambda: record_by_hand(session, somebody, waiting.id, "UKM0000R09", NOW),
        lambda: record_not_gone(session, somebody, waiting.id, "No", NOW),
    ):
        with refused(session, Forbidden, "forbidden"):
            act()


def test_a_refund_that_is_not_there_is_not_found(session, sale):
    admin = actor_of(sale.admin)
    for act in (
        lambda: approve_refund(session, admin, 999, RULES, NOW),
        lambda: reject_refund(session, admin, 999, "No", NOW),
        lambda: record_by_hand(session, admin, 999, "UKM0000R09", NOW),
        lambda: record_not_gone(session, admin, 999, "No", NOW),
    ):
        with refused(session, NotFound, "refund_not_found"):
            act()


def test_what_became_wrong_while_it_waited_is_not_approved(session, sale, waiting):
    matter = Matter("disputed_payment", "Do not ship", "Look", "disputed_payment:1")
    file_task(session, matter, NOW, payment=sale.payment)
    with refused(session, Conflict, "payment_disputed"):
        approve_refund(session, actor_of(sale.other_admin), waiting.id, RULES, LATER)


def test_what_became_too_much_while_it_waited_is_not_approved(session, sale):
    """A refund that had failed went through after all, meanwhile."""
    failed = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000)
    send(session, failed)
    lost = replace(went(), verdict="did_not_go", result_code="1")
    hear(session, failed, lost)
    waiting = ask_refund(session, sale.admin, sale.payment, rules=NEEDS_TWO)
    assert hear(session, failed, went()) == "refunded"
    with refused(session, Conflict, "refund_exceeds_payment"):
        approve_refund(session, actor_of(sale.other_admin), waiting.id, RULES, LATER)
    reject_refund(session, actor_of(sale.admin), waiting.id, "Too much by now", LATER)
    assert is_clean(session, LATER)


def test_money_without_an_order_is_approved_alike(session, sale):
    waiting = ask_refund(session, sale.admin, stray_money(session), rules=NEEDS_TWO)
    task = session.scalars(select(Task).where(Task.kind == "refund_approval")).one()
    assert (task.payment_id, task.order_id, task.receipt) == (None, None, "UKM00STRAY")
    approve_refund(session, actor_of(sale.other_admin), waiting.id, RULES, LATER)

    assert waiting.state == "created"
    assert is_clean(session, LATER)


def test_a_refund_is_rejected_with_its_reason_and_the_money_is_free_again(session, sale, waiting):
    reject_refund(session, actor_of(sale.other_admin), waiting.id, "The shoes were worn", NOW)

    assert (waiting.state, waiting.result_desc, waiting.approved_by) == (
        "rejected",
        "The shoes were worn",
        None,
    )
    assert open_tasks(session) == []
    assert ask_refund(session, sale.admin, sale.payment).state == "created"
    assert is_clean(session)


def test_who_asked_may_take_it_back(session, sale, waiting):
    assert reject_refund(session, actor_of(sale.admin), waiting.id, "A slip", NOW).state == (
        "rejected"
    )


def test_what_was_to_be_done_by_hand_may_be_called_off_until_it_is_done(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    reject_refund(session, actor_of(sale.admin), refund.id, "Exchanged instead", NOW)
    assert (refund.state, refund.next_check_at) == ("rejected", None)

    other = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    record_by_hand(session, actor_of(sale.admin), other.id, "UKM0000R09", NOW)
    with refused(session, Conflict, "refund_not_rejectable"):
        reject_refund(session, actor_of(sale.admin), other.id, "No", NOW)
    assert is_clean(session)


def test_by_hand_above_the_limit_waits_for_the_second_admin_too(session, sale):
    refund = ask_refund(
        session, sale.admin, sale.payment, rules=NEEDS_TWO, method=RefundKind.BY_HAND
    )
    with refused(session, Conflict, "refund_not_recordable"):
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R09", NOW)
    approve_refund(session, actor_of(sale.other_admin), refund.id, NEEDS_TWO, NOW)
    assert refund.next_check_at == after(days=1)
    record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R09", NOW)

    assert refund.state == "succeeded"
    assert is_clean(session)


@pytest.mark.parametrize(
    "text", ["", "UKM1", "UKM-000-001", "ukm00000001é", "UKM0000R09UKM0000R09X", "'; --"]
)
def test_what_is_no_receipt_is_refused(session, sale, text):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    with refused(session, InvalidInput, "invalid_input") as caught:
        record_by_hand(session, actor_of(sale.admin), refund.id, text, NOW)
    assert [fault["field"] for fault in caught.value.errors] == ["refund_receipt"]


def test_the_receipt_of_a_payment_is_not_that_of_its_refund(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    for receipt in (sale.receipt, sale.receipt.lower(), stray_money(session)):
        with refused(session, InvalidInput, "invalid_input"):
            record_by_hand(session, actor_of(sale.admin), refund.id, receipt, NOW)


def test_one_receipt_stands_for_one_refund(session, sale):
    refund_whole(session, make_sale(session), "UKM0000R09")
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    with refused(session, Conflict, "refund_does_not_fit"):
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R09", NOW)


def test_a_failed_refund_is_not_noted_while_another_is_under_way(session, sale):
    failed = ask_refund(session, sale.admin, sale.payment)
    send(session, failed)
    hear(session, failed, replace(went(), verdict="did_not_go", result_code="1"))
    live = ask_refund(session, sale.admin, sale.payment)
    with refused(session, Conflict, "refund_under_way") as caught:
        record_by_hand(session, actor_of(sale.admin), failed.id, "UKM0000R09", NOW)
    assert caught.value.extra == {"refund_id": live.id}


def test_what_was_given_back_already_is_not_noted_again(session, sale):
    failed = ask_refund(session, sale.admin, sale.payment)
    send(session, failed)
    hear(session, failed, replace(went(), verdict="did_not_go", result_code="1"))
    done = ask_refund(session, sale.admin, sale.payment)
    send(session, done)
    hear(session, done, went())
    with refused(session, Conflict, "refund_does_not_fit"):
        record_by_hand(session, actor_of(sale.admin), failed.id, "UKM0000R09", NOW)


@pytest.mark.parametrize("went_back", [True, False])
def test_a_person_ends_what_nobody_knew(session, sale, went_back):
    refund = ask_refund(session, sale.admin, sale.payment)
    lose(session, refund)
    matter = Matter("unknown_refund", "Look", "Look", f"unknown_refund:{refund.id}")
    file_task(session, matter, NOW, refund_id=refund.id, receipt=refund.receipt)
    admin = actor_of(sale.admin)
    if went_back:
        record_by_hand(session, admin, refund.id, "UKM0000R09", LATER)
    else:
        record_not_gone(session, admin, refund.id, "Not on the statement", LATER)

    assert refund.state == ("succeeded" if went_back else "failed")
    assert sale.payment.status == ("refunded" if went_back else "succeeded")
    assert open_tasks(session) == []
    assert session.scalars(select(Decision.actor_id)).all() == [sale.admin.id]
    assert is_clean(session, LATER)
    if not went_back:
        again = ask_refund(session, sale.admin, sale.payment, now=LATER)
        assert (again.state, again.amount_cents) == ("created", PAID)


def test_a_decision_taken_twice_is_refused_and_changes_nothing(session, sale, waiting):
    other = actor_of(sale.other_admin)
    approve_refund(session, other, waiting.id, RULES, NOW)
    before = snapshot(session)
    with refused(session, Conflict, "refund_not_awaiting_approval"):
        approve_refund(session, other, waiting.id, RULES, LATER)
    with refused(session, Conflict, "refund_not_rejectable"):
        reject_refund(session, other, waiting.id, "No", LATER)
    assert snapshot(session) == before
