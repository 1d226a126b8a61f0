"""Two people decide at once, or a person beside late news: one way, counted once, books clean."""

import pytest
from sqlalchemy import func, select

from app.context import WORK
from app.jobs.process_message import process_message
from app.models import (
    Decision,
    LedgerEvent,
    Order,
    Payment,
    Task,
    TaskKind,
)
from app.policies import Role
from app.services.exceptions import (
    Attachment,
    PaidWord,
    attach_to_order,
    dismiss,
    say_it_is_not_there,
    say_it_is_there,
    say_not_paid,
    say_paid,
)
from app.services.inbox import stuck_message_id
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Proof
from app.services.settle_payment import settle_payment
from tests.core import after, ask_to_pay, pay
from tests.factories import NOW, actor_of, make_user
from tests.looking import is_sound
from tests.matters import (
    comes_in,
    disputed,
    given_up,
    new_order,
    stuck,
    unmatched,
    wrong_amount,
)
from tests.races.starting_line import tally, together

WHY = "I looked on the statement."
ROUNDS = 6
LATER = after(days=2)


@pytest.fixture
def admins(database):
    with database.transaction() as session:
        return [actor_of(make_user(session, Role.ADMIN)) for _ in range(2)]


def deciding(database, decide, *arguments):
    """One hand: runs ``decide`` in a transaction of its own."""

    def run() -> str:
        with database.transaction() as session:
            decide(session, *arguments)
        return decide.__name__

    return run


def decided(database, task) -> tuple[str, int]:
    with database.reading() as session:
        status = session.get_one(Task, task.id).status
        by_people = select(func.count(Decision.id)).where(
            Decision.task_id == task.id, Decision.actor_id.is_not(None)
        )
        return status, session.scalar(by_people)


def test_two_admins_give_money_to_two_orders_and_one_gets_it(database, admins):
    for number in range(ROUNDS):
        with database.transaction() as session:
            task = unmatched(session, receipt=f"UKRACE{number}")
            orders = [new_order(session) for _ in admins]

        answers = tally(
            together(
                [
                    deciding(
                        database, attach_to_order, admin, task.id, Attachment(order.number), LATER
                    )
                    for admin, order in zip(admins, orders, strict=True)
                ]
            )
        )

        assert answers == {"attach_to_order": 1, "already_decided": 1}
        with database.reading() as session:
            ids = [order.id for order in orders]
            statuses = sorted(session.scalars(select(Order.status).where(Order.id.in_(ids))))
        assert statuses == ["paid", "pending"]
        assert decided(database, task) == ("done", 1)
    assert is_sound(database, LATER)


def test_one_admin_attaches_and_the_other_dismisses_and_one_of_them_has_decided(database, admins):
    for number in range(ROUNDS):
        with database.transaction() as session:
            task, order = unmatched(session, receipt=f"UKRACE{number}"), new_order(session)

        answers = tally(
            together(
                [
                    deciding(
                        database,
                        attach_to_order,
                        admins[0],
                        task.id,
                        Attachment(order.number),
                        LATER,
                    ),
                    deciding(database, dismiss, admins[1], task.id, WHY, LATER),
                ]
            )
        )

        assert answers.pop("already_decided") == 1
        assert answers in ({"attach_to_order": 1}, {"dismiss": 1})
        assert decided(database, task) == ("done", 1)
    assert is_sound(database, LATER)


def test_money_is_attached_while_a_late_callback_pays_the_order(database, admins):
    for number in range(ROUNDS):
        with database.transaction() as session:
            task, order = unmatched(session, receipt=f"UKRACE{number}"), new_order(session)
            payment = ask_to_pay(session, order)

        answers = tally(
            together(
                [
                    deciding(
                        database,
                        attach_to_order,
                        admins[0],
                        task.id,
                        Attachment(order.number),
                        LATER,
                    ),
                    deciding(database, pay, payment, LATER),
                ]
            )
        )

        assert answers == {"attach_to_order": 1, "pay": 1}
        with database.reading() as session:
            assert session.get_one(Order, order.id).status == "paid"
            kinds = session.scalars(
                select(LedgerEvent.kind)
                .where(LedgerEvent.order_id == order.id)
                .order_by(LedgerEvent.id)
            ).all()
            doubled = select(func.count(Task.id)).where(
                Task.order_id == order.id, Task.kind == TaskKind.DOUBLE_PAYMENT
            )
            assert (kinds, session.scalar(doubled)) == (["payment", "sale", "payment"], 1)
    assert is_sound(database, LATER)


def test_money_that_finds_its_order_while_it_is_attached_to_another_counts_once(database, admins):
    for number in range(ROUNDS):
        receipt = f"UKRACE{number}"
        with database.transaction() as session:
            task = unmatched(session, receipt=receipt)
            chosen, meant = new_order(session), new_order(session)

        answers = tally(
            together(
                [
                    deciding(
                        database,
                        attach_to_order,
                        admins[0],
                        task.id,
                        Attachment(chosen.number),
                        LATER,
                    ),
                    deciding(database, comes_in, receipt, 150_000, meant.number),
                ]
            )
        )

        assert answers.pop("comes_in") == 1
        assert answers in ({"attach_to_order": 1}, {"already_decided": 1})
        with database.reading() as session:
            ids = [chosen.id, meant.id]
            statuses = sorted(session.scalars(select(Order.status).where(Order.id.in_(ids))))
        assert statuses == ["paid", "pending"]
    assert is_sound(database, LATER)


@pytest.mark.parametrize("make", [given_up, wrong_amount])
@pytest.mark.parametrize("news", ["callback", "query"])
def test_money_wins_over_a_person_who_finds_none_at_the_same_moment(database, admins, make, news):
    for _ in range(ROUNDS):
        with database.transaction() as session:
            task = make(session)
            payment = session.get_one(Payment, task.payment_id)

        def hear(session, payment=payment) -> None:
            if news == "callback":
                pay(session, payment, LATER)
            else:
                settle_payment(session, payment.id, Proof("query", "0", "Done"), LATER)

        answers = tally(
            together(
                [
                    deciding(database, say_not_paid, admins[0], task.id, WHY, LATER),
                    deciding(database, hear),
                ]
            )
        )

        assert answers.pop("hear") == 1
        assert answers in ({"say_not_paid": 1}, {"already_decided": 1})
        with database.reading() as session:
            stands = session.get_one(Payment, payment.id)
            order = session.get_one(Order, stands.order_id)
            held_then = stands.status == "failed"
        if held_then:  # the news found it held; M-Pesa is asked once more, and says so again
            assert (make, stands.next_check_at) == (wrong_amount, LATER)
            with database.transaction() as session:
                settle_payment(session, payment.id, Proof("query", "0", "Done"), LATER)
        with database.reading() as session:
            assert session.get_one(Payment, payment.id).status == "succeeded"
            assert session.get_one(Order, order.id).status == "paid"
    assert is_sound(database, LATER)


def test_a_payment_is_called_paid_and_unpaid_at_once_and_is_one_of_the_two(database, admins):
    for number in range(ROUNDS):
        with database.transaction() as session:
            task = given_up(session)

        word = PaidWord(f"UKRACE{number}", WHY)
        answers = tally(
            together(
                [
                    deciding(database, say_paid, admins[0], task.id, word, LATER),
                    deciding(database, say_not_paid, admins[1], task.id, WHY, LATER),
                ]
            )
        )

        assert answers.pop("already_decided") == 1
        with database.reading() as session:
            status = session.get_one(Payment, task.payment_id).status
        assert (answers, status) in (
            ({"say_paid": 1}, "succeeded"),
            ({"say_not_paid": 1}, "failed"),
        )
        assert decided(database, task) == ("done", 1)
    assert is_sound(database, LATER)


def test_one_receipt_is_given_to_two_payments_at_once_and_pays_one(database, admins):
    for number in range(ROUNDS):
        with database.transaction() as session:
            first = given_up(session)
            second = given_up(session)
        word = PaidWord(f"UKRACE{number}", WHY)

        answers = tally(
            together(
                [
                    deciding(database, say_paid, admin, task.id, word, LATER)
                    for admin, task in zip(admins, (first, second), strict=True)
                ]
            )
        )

        assert answers.pop("say_paid") == 1
        assert sum(answers.values()) == 1
        with database.reading() as session:
            ids = [first.payment_id, second.payment_id]
            statuses = sorted(session.scalars(select(Payment.status).where(Payment.id.in_(ids))))
        assert statuses == ["succeeded", "unknown"]
    assert is_sound(database, LATER)


def test_a_doubt_is_settled_both_ways_at_once_and_nothing_is_sent_unpaid(database, admins):
    for _ in range(ROUNDS):
        with database.transaction() as session:
            task = disputed(session)
            order_id = session.get_one(Payment, task.payment_id).order_id

        answers = tally(
            together(
                [
                    deciding(database, say_it_is_there, admins[0], task.id, WHY, LATER),
                    deciding(database, say_it_is_not_there, admins[1], task.id, WHY, LATER),
                    deciding(database, fulfil_order, admins[0], order_id, "shipped", LATER),
                ]
            )
        )

        assert answers.pop("already_decided") == 1
        with database.reading() as session:
            status = session.get_one(Order, order_id).status
        shipped = answers.pop("fulfil_order", 0)
        if "say_it_is_there" in answers:
            assert status == ("shipped" if shipped else "paid")
        else:
            assert (status, shipped) == ("cancelled", 0)
    assert is_sound(database, LATER)


def test_money_comes_in_while_it_is_called_forged_and_the_books_have_it_once(database, admins):
    for _ in range(ROUNDS):
        with database.transaction() as session:
            task = disputed(session)
            payment = session.get_one(Payment, task.payment_id)
            order = session.get_one(Order, payment.order_id)

        def hear(session, payment=payment, order=order) -> None:
            receipt, cents = payment.mpesa_receipt, payment.amount_cents
            comes_in(session, receipt, cents, order.number, source="pull", now=LATER)

        answers = tally(
            together(
                [
                    deciding(database, say_it_is_not_there, admins[0], task.id, WHY, LATER),
                    deciding(database, hear),
                ]
            )
        )

        assert answers.pop("hear") == 1
        with database.reading() as session:
            status = session.get_one(Order, order.id).status
        assert (answers, status) in (
            ({"say_it_is_not_there": 1}, "cancelled"),
            ({"money_is_there": 1}, "paid"),
        )
    assert is_sound(database, LATER)


def test_a_message_is_dismissed_while_it_is_processed(database, app, admins):
    work = app.extensions[WORK]
    for _ in range(ROUNDS):
        with database.transaction() as session:
            task = stuck(session)
            message_id = stuck_message_id(task)

        def process(message_id=message_id) -> str:
            process_message(work, message_id)
            return "processed"

        answers = tally(
            together([process, deciding(database, dismiss, admins[0], task.id, WHY, NOW)])
        )

        assert answers.pop("processed") == 1
        assert set(answers) <= {"dismiss", "already_decided", "message_in_hand"}
        with database.reading() as session:
            assert session.get_one(Task, task.id).status == "done"
    assert is_sound(database, LATER)
