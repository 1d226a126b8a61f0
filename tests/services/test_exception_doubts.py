"""Money in our books that is doubted: there, forged, or another amount. The audit stays clean."""

import pytest
from sqlalchemy import select, update

from app.errors import Conflict, InvalidInput
from app.models import (
    Account,
    LineKind,
    MoneySource,
    MpesaReceipt,
    Order,
    OrderStatus,
    Product,
    StatementImport,
    StatementLine,
    TaskKind,
)
from app.policies import Role
from app.services.confirm_payment import confirm_payment
from app.services.end_order import cancel_order, expire_order
from app.services.exceptions import (
    dismiss,
    give_right_amount,
    read_exception,
    say_it_is_not_there,
    say_it_is_there,
)
from app.services.fail_payment import fail_payment
from app.services.figures import read_sales
from app.services.hold_for_review import WRITTEN_OFF
from app.services.ledger import balances_of
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Settlement
from app.services.refund_money import give_money_back
from app.services.settle_payment import settle_payment
from tests.core import (
    after,
    ask_to_pay,
    books,
    counts,
    is_clean,
    moves,
    order_steps,
    paid_claim,
    pay,
    payment_steps,
    receipt_of,
    refused,
    task_kinds,
)
from tests.deciding import (
    LATER,
    QUERIED_PAID,
    WHY,
    decisions,
    is_decided,
    register,
    status_of,
    told,
)
from tests.factories import NOW, actor_of, make_user
from tests.matters import (
    LIED,
    TIMED_OUT,
    actor_of_buyer,
    comes_in,
    different,
    disputed,
    filed,
    new_order,
    order_of,
    payment_of,
    refund_of,
    the_task,
)


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN, username="mkuu"))


def test_money_that_is_there_lets_the_goods_go(session, admin):
    task = disputed(session)
    order = order_of(session, task)
    with refused(session, Conflict, "payment_disputed"):
        fulfil_order(session, admin, order.id, OrderStatus.SHIPPED, LATER)
    say_it_is_there(session, admin, task.id, WHY, LATER)
    fulfil_order(session, admin, order.id, OrderStatus.SHIPPED, LATER)

    assert payment_steps(session, payment_of(session, task))[-1] == (
        "succeeded",
        "succeeded",
        "person",
    )
    assert is_decided(session, task, admin, "is_there")


def test_a_forged_payment_leaves_the_books_and_its_order_is_called_off(session, admin):
    task = disputed(session)
    order, payment = order_of(session, task), payment_of(session, task)
    boots = session.scalars(select(Product)).one()
    assert counts(session, boots) == (4, 0)
    missing = read_exception(session, admin, task.id, LATER).if_not_there
    assert (missing.undoes_sale, missing.loss_cents) == (True, 0)
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    session.refresh(payment)
    assert (order.status, counts(session, boots)) == ("cancelled", (5, 0))
    assert moves(session, order)[-1] == ("restock", boots.id, 1, 0)
    assert order_steps(session, order)[-1] == (
        "paid",
        "cancelled",
        admin.user_id,
        f"the money of payment {payment.id} was not there",
    )
    assert books(session, order)[4:] == [
        ("correction", Account.MPESA, -150_000),
        ("correction", Account.SALES, 150_000),
    ]
    assert set(balances_of(session, order.id).values()) == {0}
    assert (payment.status, payment.review_reason, payment.mpesa_receipt) == (
        "failed",
        WRITTEN_OFF,
        None,
    )
    assert register(session, receipt_of(payment.id)) == ("written_off", payment.id, 150_000)
    assert told(session, order.user_id) == ["order_paid", "payment_not_there"]
    assert told(session, boots.seller_id) == ["sale", "order_cancelled"]
    assert sum(day.sold for day in read_sales(session, admin, LATER)) == 0
    assert is_decided(session, task, admin, "not_there")


def test_what_left_for_a_forged_payment_is_a_loss_on_record(session, admin):
    task = disputed(session)
    order = order_of(session, task)
    session.execute(update(Order).values(status="delivered"))  # it had left before it was disputed
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    assert order.status == "delivered"
    balances = balances_of(session, order.id)
    assert (balances[Account.MPESA], balances[Account.LOSSES], balances[Account.SALES]) == (
        0,
        150_000,
        -150_000,
    )
    assert told(session, order.user_id)[-1] == "payment_not_there"
    assert is_decided(session, task, admin, "not_there")


def test_a_forged_payment_beside_a_real_one_costs_nothing(session, admin):
    order = new_order(session)
    first = ask_to_pay(session, order)
    fail_payment(session, first.id, TIMED_OUT, NOW)
    task = disputed(session, order, after(minutes=5))
    assert pay(session, first, after(minutes=6)) == "settled"
    debt = the_task(session, TaskKind.DOUBLE_PAYMENT)
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    assert order.status == "paid"
    assert balances_of(session, order.id)[Account.REFUNDS_DUE] == 0
    assert (status_of(session, debt), decisions(session, debt)) == (
        "done",
        [(admin.user_id, "corrected", "Nothing is owed after all.")],
    )
    assert is_decided(session, task, admin, "not_there")


def test_the_real_part_of_an_order_with_a_forged_part_is_owed_back(session, admin):
    order = new_order(session)
    comes_in(session, "UKPART0001", 50_000, order.number)
    task = disputed(session, order)
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    assert order.status == "cancelled"
    assert balances_of(session, order.id)[Account.REFUNDS_DUE] == -50_000
    assert task_kinds(session) == ["disputed_payment", "late_money"]
    assert told(session, order.user_id)[-2:] == ["refund_due", "payment_not_there"]
    assert is_decided(session, task, admin, "not_there")


@pytest.mark.parametrize("status", ["cancelled", "expired"])
def test_a_forged_payment_of_an_order_that_was_over_is_owed_no_more(session, admin, status):
    order = new_order(session)
    payment = ask_to_pay(session, order)
    fail_payment(session, payment.id, TIMED_OUT, NOW)
    if status == "cancelled":
        cancel_order(session, actor_of_buyer(session, order), order.id, NOW)
    else:
        assert expire_order(session, order.id, after(hours=1)) is True
        session.execute(update(Product).values(deleted_at=NOW))
    assert pay(session, payment, after(hours=1)) == "settled"
    confirm_payment(session, payment.id, LIED, after(hours=1))
    debt, task = (
        the_task(session, TaskKind.LATE_MONEY),
        the_task(session, TaskKind.DISPUTED_PAYMENT),
    )
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    assert (order.status, payment_of(session, task).status) == (status, "failed")
    assert set(balances_of(session, order.id).values()) == {0}
    assert status_of(session, debt) == "done"
    assert is_decided(session, task, admin, "not_there")


def test_a_refund_of_forged_money_is_a_loss(session, admin):
    task = disputed(session)
    order, payment = order_of(session, task), payment_of(session, task)
    refund = refund_of(session, payment, "pending", 50_000)
    with refused(session, Conflict, "refund_under_way"):
        say_it_is_not_there(session, admin, task.id, WHY, LATER)
    refund.state = "succeeded"
    give_money_back(session, refund, order, payment, LATER)
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    session.refresh(order)
    balances = balances_of(session, order.id)
    assert order.status == "cancelled"
    assert (balances[Account.MPESA], balances[Account.LOSSES]) == (-50_000, 50_000)
    assert is_decided(session, task, admin, "not_there")


def test_money_in_mpesas_own_books_is_never_called_forged(session, admin):
    task = disputed(session)
    order, payment = order_of(session, task), payment_of(session, task)
    row = session.get_one(MpesaReceipt, payment.mpesa_receipt)
    for road in ("c2b", "pull", "statement", "status"):
        row.source = road
        session.flush()
        with refused(session, Conflict, "money_is_there"):
            say_it_is_not_there(session, admin, task.id, WHY, LATER)
    row.source = "callback"
    assert comes_in(session, payment.mpesa_receipt, 150_000, order.number) == "known"
    with refused(session, Conflict, "money_is_there"):
        say_it_is_not_there(session, admin, task.id, WHY, LATER)


def test_what_mpesa_took_back_is_not_there_any_more(session, admin):
    task = disputed(session)
    receipt = payment_of(session, task).mpesa_receipt
    books_of_theirs = StatementImport(
        source="file", covers_from=NOW, covers_to=LATER, created_at=LATER
    )
    session.add(books_of_theirs)
    session.flush()

    def line(number: str, cents: int, linked: str | None = None) -> None:
        session.add(
            StatementLine(
                import_id=books_of_theirs.id,
                receipt=number,
                linked_receipt=linked,
                kind=LineKind.REVERSAL if linked else LineKind.PAYMENT,
                amount_cents=cents,
                transacted_at=NOW,
                details="Pay Bill",
                created_at=LATER,
            )
        )
        session.flush()

    line(receipt, 150_000)
    with refused(session, Conflict, "money_is_there"):
        say_it_is_not_there(session, admin, task.id, WHY, LATER)
    line("UKREVERSAL", -150_000, receipt)
    assert [one.amount_cents for one in read_exception(session, admin, task.id, LATER).lines] == [
        150_000,
        -150_000,
    ]
    say_it_is_not_there(session, admin, task.id, WHY, LATER)
    assert is_decided(session, task, admin, "not_there")


def test_forged_again_moves_nothing_and_a_receipt_that_is_real_after_all_counts(session, admin):
    task = disputed(session)
    order, payment = order_of(session, task), payment_of(session, task)
    receipt = payment.mpesa_receipt
    say_it_is_not_there(session, admin, task.id, WHY, LATER)
    session.refresh(payment)

    once = books(session, order)
    for said in (receipt, "UKFORGED99"):
        claim = paid_claim(payment, receipt=said)
        assert pay(session, payment, LATER, receipt=said) == "held_for_review", claim
    assert settle_payment(session, payment.id, QUERIED_PAID, LATER) is Settlement.HELD_FOR_REVIEW
    assert books(session, order) == once

    assert comes_in(session, receipt, 150_000, source=MoneySource.PULL, now=LATER) == "booked"
    state, payment_id, cents = register(session, receipt)
    assert (state, cents, payment_id == payment.id) == ("matched", 150_000, False)
    assert balances_of(session, order.id)[Account.REFUNDS_DUE] == -150_000
    assert task_kinds(session) == ["disputed_payment", "late_money"]
    assert comes_in(session, receipt, 150_000, source=MoneySource.PULL, now=LATER) == "known"
    assert is_clean(session, LATER)


def test_mpesas_amount_is_made_ours(session, admin):
    task = different(session, booked=150_000, said=100_000)
    order, payment = order_of(session, task), payment_of(session, task)
    with refused(session, InvalidInput, "invalid_input"):
        give_right_amount(session, admin, task.id, 150_000, WHY, LATER)
    give_right_amount(session, admin, task.id, 100_000, WHY, LATER)

    session.refresh(order)
    session.refresh(payment)
    assert (order.status, payment.amount_cents) == ("cancelled", 100_000)
    assert balances_of(session, order.id)[Account.REFUNDS_DUE] == -100_000
    assert register(session, "UKC0000003") == ("matched", payment.id, 100_000)
    assert is_decided(session, task, admin, "correct")


def test_more_than_was_typed_pays_a_waiting_order(session, admin):
    task = different(session, booked=15_000, said=150_000)
    order = order_of(session, task)
    assert order.status == "pending"
    give_right_amount(session, admin, task.id, 150_000, WHY, LATER)

    session.refresh(order)
    assert order.status == "paid"
    assert told(session, order.user_id)[-1] == "order_paid"
    assert is_decided(session, task, admin, "correct")


def test_more_than_an_order_costs_is_owed_back_and_less_of_that_is_owed_less(session, admin):
    task = different(session, booked=150_000, said=170_000)
    order = order_of(session, task)
    give_right_amount(session, admin, task.id, 170_000, WHY, LATER)
    assert balances_of(session, order.id)[Account.REFUNDS_DUE] == -20_000
    assert task_kinds(session)[-1] == "over_payment"
    assert is_decided(session, task, admin, "correct")

    comes_in(session, "UKC0000003", 160_000, order.number, source=MoneySource.STATEMENT)
    again = the_task(session, TaskKind.STATEMENT_DIFFERENCE)
    give_right_amount(session, admin, again.id, 160_000, WHY, LATER)
    session.refresh(order)
    assert (order.status, balances_of(session, order.id)[Account.REFUNDS_DUE]) == ("paid", -10_000)
    assert is_decided(session, again, admin, "correct")


def test_a_difference_may_be_explained(session, admin):
    task = different(session)
    dismiss(session, admin, task.id, WHY, LATER)
    assert is_decided(session, task, admin, "dismiss")


def test_a_payment_without_a_receipt_that_no_book_of_mpesas_has_is_written_off(session, admin):
    payment = ask_to_pay(session, new_order(session))
    settle_payment(session, payment.id, QUERIED_PAID, NOW)
    task = filed(session, TaskKind.STATEMENT_DIFFERENCE, payment=payment)
    say_it_is_not_there(session, admin, task.id, WHY, LATER)

    order = order_of(session, task)
    assert (order.status, payment_of(session, task).status) == ("cancelled", "failed")
    assert set(balances_of(session, order.id).values()) == {0}
    assert settle_payment(session, payment.id, QUERIED_PAID, LATER) is Settlement.HELD_FOR_REVIEW
    assert is_decided(session, task, admin, "not_there")
