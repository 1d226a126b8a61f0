"""What goes back: which debts it pays, and what becomes of the payment, the order, the shelf."""

import pytest
from sqlalchemy import select

from app.models import (
    Account,
    MpesaReceipt,
    Notification,
    Order,
    Payment,
    Refund,
    RefundState,
    Task,
)
from app.policies import Role
from app.services.ledger import balances_of
from app.services.move_order import fulfil_order
from app.services.payment_evidence import lock_payment
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.refund_money import give_money_back
from app.services.refund_shares import refunded_cents_of, split_refund
from tests.core import after, ask_to_pay, books, buy, counts, is_clean, make_buyer, moves, pay
from tests.factories import NOW, actor_of, make_product, make_user

TOTAL = 149_950
PAID = 150_000


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=5, price_cents=TOTAL)


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def admin(session):
    return make_user(session, Role.ADMIN)


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1))


@pytest.fixture
def payment(session, order):
    paid = ask_to_pay(session, order)
    pay(session, paid)
    session.refresh(paid)
    return paid


def refund(session, admin, payment: Payment | str, cents: int, **fields) -> Refund:
    """A refund that has just gone through."""
    is_known = isinstance(payment, Payment)
    row = Refund(
        **{
            "kind": "payout",
            "state": RefundState.SUCCEEDED,
            "order_id": payment.order_id if is_known else None,
            "payment_id": payment.id if is_known else None,
            "receipt": payment.mpesa_receipt if is_known else payment,
            "amount_cents": cents,
            "reason": "A customer's wish",
            "requested_by": admin.id,
            "created_at": NOW,
            "updated_at": NOW,
            "finished_at": NOW,
            **fields,
        }
    )
    session.add(row)
    session.flush()
    order = None
    if is_known:
        order, payment = lock_payment(session, payment.id)
    give_money_back(session, row, order, payment if is_known else None, after(hours=1))
    return row


def test_a_whole_refund_undoes_the_sale(session, buyer, boots, order, payment, admin):
    row = refund(session, admin, payment, PAID)

    assert books(session, order)[5:] == [
        ("refund", Account.REFUNDS, TOTAL),
        ("refund", Account.ROUNDING, 50),
        ("refund", Account.MPESA, -PAID),
    ]
    session.refresh(payment)
    assert (payment.status, order.status) == ("refunded", "refunded")
    assert refunded_cents_of(session, payment.mpesa_receipt) == PAID
    assert counts(session, boots) == (4, 0)  # the goods stay with the customer
    told = session.scalars(select(Notification).order_by(Notification.id.desc())).first()
    assert (told.user_id, told.kind, told.title) == (
        buyer.id,
        "refunded",
        "KES 1500 went back to you",
    )
    assert row.order_id == order.id
    assert is_clean(session)


def test_goods_that_come_back_are_on_the_shelf_again(session, boots, order, payment, admin):
    refund(session, admin, payment, PAID, restock=True)

    assert counts(session, boots) == (5, 0)
    assert moves(session, order)[-1] == ("restock", boots.id, 1, 0)
    assert is_clean(session)


@pytest.mark.parametrize("steps", [["shipped"], ["shipped", "delivered"]])
def test_what_was_sent_can_be_refunded(session, order, payment, admin, steps):
    for step in steps:
        fulfil_order(session, actor_of(admin), order.id, step, NOW)
    refund(session, admin, payment, PAID)

    assert order.status == "refunded"
    assert is_clean(session)


def test_a_part_leaves_the_order_paid_until_all_of_it_is_back(session, order, payment, admin):
    refund(session, admin, payment, 50_000)
    assert (payment.status, order.status) == ("succeeded", "paid")
    assert is_clean(session)

    refund(session, admin, payment, 100_000)
    assert (payment.status, order.status) == ("refunded", "refunded")
    assert balances_of(session, order.id) == dict.fromkeys(Account, 0) | {
        Account.SALES: -TOTAL,
        Account.REFUNDS: TOTAL,
    }
    assert is_clean(session)


def test_what_is_owed_is_paid_first_and_its_task_is_done(session, order, payment, admin):
    double = ReceiptFacts("UKM0DOUBLE", PAID, "c2b", order.number)
    receive_money(session, double, NOW)
    refund(session, admin, payment, PAID)

    assert order.status == "paid"
    assert books(session, order)[-2:] == [
        ("refund", Account.REFUNDS_DUE, PAID),
        ("refund", Account.MPESA, -PAID),
    ]
    task = session.scalars(select(Task).execution_options(populate_existing=True)).one()
    assert (task.kind, task.status) == ("double_payment", "done")
    assert is_clean(session)


def test_a_part_payment_goes_back_while_its_order_waits(session, buyer, boots, admin):
    order = buy(session, buyer, (boots, 1))
    receive_money(session, ReceiptFacts("UKM0PART01", 40_000, "c2b", order.number), NOW)
    part = session.scalars(select(Payment)).one()
    refund(session, admin, part, 40_000)

    assert (order.status, part.status) == ("pending", "refunded")
    assert balances_of(session, order.id)[Account.CUSTOMER] == 0
    assert is_clean(session)


def test_money_without_an_order_goes_back(session, admin):
    receive_money(session, ReceiptFacts("UKM00STRAY", 7_000, "c2b", "RENT"), NOW)
    refund(session, admin, "UKM00STRAY", 3_000)
    row = session.get_one(MpesaReceipt, "UKM00STRAY")
    assert row.state == "unmatched"
    refund(session, admin, "UKM00STRAY", 4_000)

    assert row.state == "refunded"
    task = session.scalars(select(Task).execution_options(populate_existing=True)).one()
    assert (task.kind, task.status) == ("unmatched_money", "done")
    assert is_clean(session)


def test_more_than_an_order_brought_in_never_goes_back():
    balances = dict.fromkeys(Account, 0) | {Account.SALES: -100, Account.REFUNDS_DUE: -30}
    assert split_refund(120, balances) == {Account.REFUNDS_DUE: 30, Account.REFUNDS: 90}
    with pytest.raises(RuntimeError, match="1 cents of a refund of 131 were never received"):
        split_refund(131, balances)


def test_orders_are_told_apart(session, buyer, boots, order, payment, admin):
    other = buy(session, buyer, (boots, 1))
    pay(session, ask_to_pay(session, other, after(minutes=4)))
    refund(session, admin, payment, PAID)

    assert session.get_one(Order, other.id).status == "paid"
    assert is_clean(session)
