"""Payments of which only a person knows how they ended: paid, not paid, or another amount."""

import pytest

from app.errors import Conflict, InvalidInput
from app.models import (
    Account,
    Payment,
    TaskKind,
)
from app.policies import Role
from app.services.end_order import expire_order
from app.services.exceptions import (
    PaidWord,
    dismiss,
    give_receipt,
    say_not_paid,
    say_paid,
)
from app.services.hold_for_review import COUNTED_APART
from app.services.payment_evidence import Proof, Settlement
from app.services.settle_payment import settle_payment
from tests.core import (
    after,
    ask_to_pay,
    books,
    is_clean,
    pay,
    payment_steps,
    receipt_of,
    refused,
    task_kinds,
    thrown_away,
)
from tests.deciding import (
    LATER,
    QUERIED_PAID,
    WHY,
    decisions,
    is_decided,
    register,
    told,
)
from tests.factories import NOW, actor_of, make_user
from tests.matters import (
    comes_in,
    conflicting,
    given_up,
    mismatched,
    never_answered,
    new_order,
    order_of,
    payment_of,
    the_task,
    two_receipts,
    unmatched,
    unreadable,
    wrong_amount,
)


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN, username="mkuu"))


@pytest.mark.parametrize("make", [wrong_amount, given_up, never_answered, conflicting])
def test_a_person_who_saw_the_money_pays_the_order(session, admin, make):
    task = make(session)
    say_paid(session, admin, task.id, PaidWord("UKPERSON01", WHY), LATER)

    payment, order = payment_of(session, task), order_of(session, task)
    assert (payment.status, payment.mpesa_receipt, payment.amount_verified) == (
        "succeeded",
        "UKPERSON01",
        True,
    )
    assert (payment.review_reason, payment.next_check_at) == (None, None)
    assert payment_steps(session, payment)[-1][1:] == ("succeeded", "person")
    assert order.status == "paid"
    assert decisions(session, task) == [
        (admin.user_id, "paid", f"Receipt UKPERSON01, KES 1500. {WHY}")
    ]
    assert told(session, order.user_id)[-1] == "order_paid"
    assert is_decided(session, task, admin, "paid")


@pytest.mark.parametrize("make", [wrong_amount, given_up, never_answered])
def test_another_amount_than_was_asked_for_is_counted_by_itself(session, admin, make):
    task = make(session)
    say_paid(session, admin, task.id, PaidWord("UKPERSON01", WHY, 100_000), LATER)

    payment, order = payment_of(session, task), order_of(session, task)
    assert (payment.status, payment.review_reason, payment.mpesa_receipt) == (
        "failed",
        COUNTED_APART,
        None,
    )
    assert order.status == "pending"
    assert books(session, order) == [
        ("payment", Account.MPESA, 100_000),
        ("payment", Account.CUSTOMER, -100_000),
    ]
    assert told(session, order.user_id)[-1] == "part_paid"
    assert is_decided(session, task, admin, "paid")

    once = books(session, order)
    for proof in (QUERIED_PAID, Proof("callback", "0", "Done", receipt_of(payment.id), True)):
        assert settle_payment(session, payment.id, proof, LATER) is Settlement.HELD_FOR_REVIEW
    assert books(session, order) == once
    session.refresh(payment)
    comes_in(session, "UKREST0001", 50_000, order.number, now=LATER)
    session.refresh(order)
    assert order.status == "paid"
    assert is_clean(session, LATER)


def test_money_that_had_come_without_an_order_is_the_payments_when_a_person_says_so(session, admin):
    unmatched(session)
    task = given_up(session)
    say_paid(session, admin, task.id, PaidWord("UKC0000001", WHY), LATER)

    payment = payment_of(session, task)
    assert (payment.status, payment.mpesa_receipt) == ("succeeded", "UKC0000001")
    assert register(session, "UKC0000001") == ("matched", payment.id, 150_000)
    other = the_task(session, TaskKind.UNMATCHED_MONEY)
    assert (other.status, decisions(session, other)[0][1]) == ("done", "matched")
    assert is_decided(session, task, admin, "paid")


def test_money_that_was_counted_for_the_same_order_is_not_counted_twice(session, admin):
    task = given_up(session)
    order = order_of(session, task)
    session.get_one(Payment, task.payment_id).msisdn = "254700000009"
    comes_in(session, "UKC0000009", 150_000, order.number, payer_phone="254711000000")
    money = books(session, order)
    say_paid(session, admin, task.id, PaidWord("UKC0000009", WHY), LATER)

    assert payment_of(session, task).status == "failed"
    assert books(session, order) == money
    assert order_of(session, task).status == "paid"
    assert is_decided(session, task, admin, "paid")


def test_a_receipt_that_stands_for_other_money_pays_nothing(session, admin):
    other = ask_to_pay(session, new_order(session))
    pay(session, other)
    task = given_up(session)
    comes_in(session, "UKC0000001", 90_000)
    for word, kind, code in (
        (PaidWord(receipt_of(other.id), WHY), Conflict, "receipt_taken"),
        (PaidWord("UKC0000001", WHY, 150_000), Conflict, "receipt_amount_differs"),
    ):
        with refused(session, kind, code):
            say_paid(session, admin, task.id, word, LATER)
    say_paid(session, admin, task.id, PaidWord("UKC0000001", WHY), LATER)
    assert register(session, "UKC0000001")[0] == "matched"
    assert order_of(session, task).status == "pending"  # a part of it
    assert is_decided(session, task, admin, "paid")


@pytest.mark.parametrize("make", [wrong_amount, given_up, conflicting])
def test_a_payment_that_was_not_paid_sets_its_order_free(session, admin, make):
    task = make(session)
    order = order_of(session, task)
    say_not_paid(session, admin, task.id, WHY, LATER)

    payment = payment_of(session, task)
    assert (payment.status, payment.review_reason, payment.finished_at) == ("failed", None, LATER)
    assert payment.next_check_at == LATER  # M-Pesa is asked once more
    assert payment_steps(session, payment)[-1] == ("unknown", "failed", "person")
    assert told(session, order.user_id)[-1] == "payment_failed"
    assert books(session, order) == []
    assert is_decided(session, task, admin, "not_paid")

    assert expire_order(session, order.id, after(hours=2, minutes=59)) is False
    with thrown_away(session):
        again = ask_to_pay(session, order, LATER, msisdn="254700000005")
        assert pay(session, again, LATER) == "settled"
        assert is_clean(session, LATER)
    assert expire_order(session, order.id, after(hours=3)) is True
    assert is_clean(session, after(hours=3))


@pytest.mark.parametrize("make", [wrong_amount, given_up, conflicting, never_answered])
def test_money_wins_over_a_person_who_found_none(session, admin, make):
    task = make(session)
    say_not_paid(session, admin, task.id, WHY, LATER)
    payment = payment_of(session, task)
    assert settle_payment(session, payment.id, QUERIED_PAID, LATER) is Settlement.SETTLED
    assert order_of(session, task).status == "paid"
    assert is_clean(session, LATER)


def test_a_payment_that_is_still_being_asked_about_is_not_called_unpaid(session, admin):
    task = given_up(session)
    payment = payment_of(session, task)
    payment.next_check_at = LATER
    with refused(session, Conflict, "payment_not_held"):
        say_not_paid(session, admin, task.id, WHY, LATER)
    settle_payment(session, payment.id, QUERIED_PAID, LATER)
    with refused(session, Conflict, "already_decided"):
        say_not_paid(session, admin, task.id, WHY, LATER)


def test_a_payment_that_succeeded_is_never_called_unpaid(session, admin):
    task = two_receipts(session)
    with refused(session, Conflict, "payment_not_held"):
        say_not_paid(session, admin, task.id, WHY, LATER)


def test_a_second_receipt_that_the_statement_shows_as_well_is_owed_back(session, admin):
    task = two_receipts(session)
    assert task.receipt == "UKSECOND01"
    with refused(session, InvalidInput, "invalid_input"):
        say_paid(session, admin, task.id, PaidWord("UKSECOND01", WHY), LATER)
    say_paid(session, admin, task.id, PaidWord("UKSECOND01", WHY, 150_000), LATER)

    assert order_of(session, task).status == "paid"
    assert task_kinds(session) == ["receipt_conflict", "double_payment"]
    assert is_decided(session, task, admin, "paid")


def test_a_second_receipt_that_is_nothing_is_dismissed(session, admin):
    task = two_receipts(session)
    before = books(session, order_of(session, task))
    dismiss(session, admin, task.id, WHY, LATER)
    assert books(session, order_of(session, task)) == before
    assert is_decided(session, task, admin, "dismiss")


@pytest.mark.parametrize("make", [mismatched, unreadable])
def test_a_report_that_nobody_could_use_leads_to_the_receipt_or_is_dismissed(session, admin, make):
    task = make(session)
    with thrown_away(session):
        dismiss(session, admin, task.id, WHY, LATER)
        assert payment_of(session, task).status == "pending"
        assert is_decided(session, task, admin, "dismiss")
    with thrown_away(session):
        say_paid(session, admin, task.id, PaidWord("UKPERSON01", WHY), LATER)
        assert order_of(session, task).status == "paid"
        assert is_decided(session, task, admin, "paid")
    settle_payment(session, task.payment_id, QUERIED_PAID, NOW)
    order = order_of(session, task)
    money = books(session, order)
    give_receipt(session, admin, task.id, PaidWord("UKPERSON01", WHY), LATER)
    assert payment_of(session, task).mpesa_receipt == "UKPERSON01"
    assert books(session, order) == money
    assert is_decided(session, task, admin, "receipt")


def test_a_receipt_is_given_once_and_not_one_of_other_money(session, admin):
    other = ask_to_pay(session, new_order(session))
    pay(session, other)
    comes_in(session, "UKC0000001", 90_000)
    task = mismatched(session)
    settle_payment(session, task.payment_id, QUERIED_PAID, NOW)
    for receipt, code in (
        (receipt_of(other.id), "receipt_taken"),
        ("UKC0000001", "receipt_amount_differs"),
    ):
        with refused(session, Conflict, code):
            give_receipt(session, admin, task.id, PaidWord(receipt, WHY), LATER)
    unmatched(session, receipt="UKC0000008")
    give_receipt(session, admin, task.id, PaidWord("UKC0000008", WHY), LATER)
    assert register(session, "UKC0000008") == ("matched", task.payment_id, 150_000)
    assert is_decided(session, task, admin, "receipt")
