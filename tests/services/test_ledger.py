"""The books: every event adds up to zero, once."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.models import Account, LedgerEntry, LedgerEvent, LedgerEventKind
from app.services.ledger import _book, book_payment, book_sale
from tests.core import ask_to_pay, books, buy, make_buyer, snapshot
from tests.factories import NOW, make_product


@pytest.fixture
def order(session):
    return buy(session, make_buyer(session), (make_product(session, price_cents=149_950), 1))


@pytest.fixture
def payment(session, order):
    return ask_to_pay(session, order)


def test_a_payment_is_held_and_owed(session, order, payment):
    book_payment(session, payment, Account.CUSTOMER, NOW)

    event = session.scalars(select(LedgerEvent)).one()
    assert (event.kind, event.reference, event.order_id, event.payment_id) == (
        "payment",
        f"payment:{payment.id}",
        order.id,
        payment.id,
    )
    assert books(session, order) == [
        ("payment", Account.MPESA, 150_000),
        ("payment", Account.CUSTOMER, -150_000),
    ]


@pytest.mark.parametrize(("paid", "rounding"), [(149_950, []), (149_990, [-40]), (150_000, [-50])])
def test_a_sale_earns_the_price_and_sets_the_rounding_apart(session, order, paid, rounding):
    book_sale(session, order, paid, NOW)

    assert [(account, cents) for _, account, cents in books(session, order)] == [
        (Account.CUSTOMER, paid),
        (Account.SALES, -149_950),
        *((Account.ROUNDING, cents) for cents in rounding),
    ]
    assert sum(session.scalars(select(LedgerEntry.amount_cents))) == 0


def test_a_payment_or_a_sale_is_booked_once(session, order, payment):
    book_payment(session, payment, Account.CUSTOMER, NOW)
    book_sale(session, order, 150_000, NOW)
    before = snapshot(session)

    with pytest.raises(IntegrityError), session.begin_nested():
        book_payment(session, payment, Account.REFUNDS_DUE, NOW)
    with pytest.raises(IntegrityError), session.begin_nested():
        book_sale(session, order, 150_000, NOW)
    assert snapshot(session) == before


def test_what_does_not_add_up_is_not_written(session, order):
    event = LedgerEvent(
        kind=LedgerEventKind.REFUND, reference="r:1", order_id=order.id, created_at=NOW
    )
    before = snapshot(session)
    with pytest.raises(RuntimeError, match="does not add up to zero"):
        _book(session, event, {Account.MPESA: 100, Account.CUSTOMER: -99})

    assert snapshot(session) == before
