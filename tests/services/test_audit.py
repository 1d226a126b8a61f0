"""Each invariant, broken on purpose, is found; a clean shop has no findings."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text, update

from app.models import (
    Account,
    InboxMessage,
    LedgerEntry,
    LedgerEvent,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    Product,
    Refund,
    Reservation,
    StockMovement,
    Task,
    User,
)
from app.services.audit import INVARIANTS, AuditLimits, Finding, audit
from app.services.claims import ClaimRequest, claim_payment, look_at_claim
from app.services.end_order import cancel_order, expire_order
from app.services.inbox import report_stuck_message
from app.services.ledger import balances_of, book_correction
from app.services.missing_money import split_missing
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.refund_money import give_money_back
from tests.core import SECRET, after, ask_to_pay, buy, is_clean, make_buyer, pay, snapshot
from tests.factories import NOW, actor_of, make_product
from tests.matters import given_up, unmatched

HISTORIES = ("ledger_events", "ledger_entries", "order_events", "payment_events", "stock_movements")


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=9, price_cents=149_950)


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 2))


@pytest.fixture
def paid(session, order):
    """An order that is paid: KES 2999 on the spot."""
    payment = ask_to_pay(session, order)
    pay(session, payment)
    session.flush()
    return payment


def unlock(session) -> None:
    """Take the database's own guards away, inside a transaction that is thrown away."""
    session.flush()
    if session.get_bind().dialect.name == "sqlite":
        for name in HISTORIES:
            for verb in ("update", "delete"):
                session.execute(text(f"DROP TRIGGER {name}_no_{verb}"))
        session.execute(text("PRAGMA ignore_check_constraints = ON"))
        return
    for name in HISTORIES:
        session.execute(text(f"ALTER TABLE {name} DISABLE TRIGGER {name}_append_only"))
    session.execute(text("ALTER TABLE products DROP CONSTRAINT ck_products_reserved_is_on_hand"))


def corrupt(session, statement) -> list[Finding]:
    session.execute(statement)
    session.expire_all()
    return audit(session, NOW)


def test_a_shop_with_every_kind_of_ending_has_no_findings(session, buyer, boots, order, paid):
    cancel_order(session, actor_of(buyer), buy(session, buyer, (boots, 1)).id, NOW)
    expire_order(session, buy(session, buyer, (boots, 1)).id, after(minutes=15))
    late = buy(session, buyer, (boots, 1))
    late_payment = ask_to_pay(session, late)
    cancel_order(session, actor_of(buyer), late.id, NOW)
    pay(session, late_payment)
    ask_to_pay(session, buy(session, buyer, (boots, 1)))
    before = snapshot(session)

    assert is_clean(session)
    assert snapshot(session) == before
    assert list(INVARIANTS) == ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"]


def test_i1_an_event_that_does_not_add_up(session, order, paid):
    unlock(session)
    assert corrupt(
        session,
        update(LedgerEntry)
        .where(LedgerEntry.account == Account.SALES)
        .values(amount_cents=LedgerEntry.amount_cents - 1),
    ) == [
        Finding("I1", "ledger event 2", "2 entries add up to -1 cents"),
        Finding(
            "I5",
            f"order {order.id}",
            "is paid with a total of 299900 cents, but its ledger shows 299900 received and"
            " 299901 sold",
        ),
    ]


def test_i6_goods_that_were_sold_twice_over(session, order, paid):
    unlock(session)
    findings = corrupt(
        session,
        update(LedgerEntry)
        .where(LedgerEntry.account == Account.CUSTOMER, LedgerEntry.amount_cents < 0)
        .values(account=Account.REFUNDS_DUE),
    )
    assert findings == [
        Finding("I5", f"order {order.id}", "is paid, but 299900 cents of goods do not balance"),
        Finding(
            "I6",
            f"order {order.id}",
            "is paid, owes 299900 cents as refunds_due, and has no task",
        ),
    ]


def test_i6_money_that_is_owed_while_its_task_is_done(session, buyer, boots):
    order = buy(session, buyer, (boots, 1))
    payment = ask_to_pay(session, order)
    cancel_order(session, actor_of(buyer), order.id, NOW)
    pay(session, payment)
    assert is_clean(session)
    assert corrupt(session, update(Task).values(status="done")) == [
        Finding(
            "I6",
            f"order {order.id}",
            "is cancelled, owes 150000 cents as refunds_due, and has no task",
        )
    ]


def test_i6_money_without_an_order_while_its_task_is_done(session):
    unmatched(session)
    assert is_clean(session)
    assert corrupt(session, update(Task).values(status="done")) == [
        Finding("I6", "receipt UKC0000001", "holds 150000 cents without an order, and has no task")
    ]


def test_i7_a_payment_that_nobody_asks_about_while_its_task_is_done(session):
    payment_id = given_up(session).payment_id
    assert is_clean(session, after(days=2))
    assert corrupt(session, update(Task).values(status="done")) == [
        Finding("I7", f"payment {payment_id}", "unknown since 2026-11-22 09:00 UTC")
    ]


def test_i5_a_sale_that_was_undone_and_is_paid_all_the_same(session, order, paid):
    unlock(session)
    balances = balances_of(session, order.id)
    missing = split_missing(OrderStatus.PAID, order.total_cents, balances, paid.amount_cents)
    book_correction(session, paid, missing.entries, 1, NOW)
    assert [finding.invariant for finding in audit(session, NOW)] == ["I1", "I5"]


def test_i1_an_event_without_its_second_side(session, order, paid):
    unlock(session)
    event = LedgerEvent(kind="refund", reference="r:1", order_id=order.id, created_at=NOW)
    session.add(event)
    session.flush()

    assert audit(session, NOW) == [
        Finding("I1", f"ledger event {event.id}", "0 entries add up to 0 cents")
    ]


def test_i1_a_payment_that_is_not_in_the_books(session, order, paid):
    assert corrupt(
        session, update(Payment).where(Payment.id == paid.id).values(amount_cents=300_000)
    ) == [
        Finding("I1", f"order {order.id}", "its payments say 300000 cents, its ledger says 299900"),
        Finding(
            "I2",
            f"receipt {paid.mpesa_receipt}",
            f"is registered with 299900 cents for payment {paid.id}, which says otherwise",
        ),
    ]


def test_i2_a_receipt_that_is_not_registered_as_the_payments_own(session, buyer, boots, paid):
    other = ask_to_pay(session, buy(session, buyer, (boots, 1)), after(minutes=4))
    receipt = paid.mpesa_receipt
    assert corrupt(session, update(MpesaReceipt).values(payment_id=other.id)) == [
        Finding("I2", f"payment {paid.id}", f"receipt {receipt} is not registered as its own"),
        Finding(
            "I2",
            f"receipt {receipt}",
            f"is registered with 299900 cents for payment {other.id}, which says otherwise",
        ),
    ]


def test_i2_a_receipt_on_two_payments(session, database_kind, buyer, boots, paid):
    if database_kind == "sqlite":
        pytest.skip("SQLite cannot drop the constraint that stands against it")
    pay(session, ask_to_pay(session, buy(session, buyer, (boots, 1))))
    session.flush()
    session.execute(text("ALTER TABLE payments DROP CONSTRAINT uq_payments_mpesa_receipt"))
    receipt = paid.mpesa_receipt

    findings = corrupt(session, update(Payment).values(mpesa_receipt=receipt))
    assert findings[0] == Finding("I2", f"receipt {receipt}", "stands on 2 payments")
    assert [finding.invariant for finding in findings] == ["I2", "I2", "I2"]


def test_i3_a_reservation_that_nothing_holds(session, boots, order):
    assert corrupt(session, update(Reservation).values(quantity=1)) == [
        Finding("I3", f"product {boots.id}", "on_hand 9, reserved 2, active reservations 1")
    ]


def test_i3_more_promised_than_there_is(session, boots, order):
    unlock(session)
    findings = corrupt(session, update(Product).values(on_hand=1))
    assert findings == [
        Finding("I3", f"product {boots.id}", "on_hand 1, reserved 2, active reservations 2"),
        Finding(
            "I4",
            f"product {boots.id}",
            "on_hand 1 and reserved 2, but its movements add up to 9 and 2",
        ),
    ]


def test_i3_an_ended_order_that_still_holds_stock(session, boots, order):
    assert corrupt(session, update(Order).values(status="cancelled")) == [
        Finding(
            "I3",
            f"order {order.id}",
            f"is cancelled while its reservation of product {boots.id} is active",
        )
    ]


def test_i3_a_pending_order_that_holds_none(session, boots, order):
    cancel_order(session, actor_of_order(session, order), order.id, NOW)
    assert corrupt(session, update(Order).values(status="pending")) == [
        Finding(
            "I3",
            f"order {order.id}",
            f"is pending while its reservation of product {boots.id} is released",
        )
    ]


def actor_of_order(session, order):
    return actor_of(session.get_one(User, order.user_id))


def test_i4_a_count_that_no_movement_explains(session, boots, order):
    assert corrupt(session, update(Product).values(on_hand=10)) == [
        Finding(
            "I4",
            f"product {boots.id}",
            "on_hand 10 and reserved 2, but its movements add up to 9 and 2",
        )
    ]


def test_i4_a_movement_that_never_happened(session, boots, order):
    row = {"product_id": boots.id, "kind": "adjustment", "created_at": NOW}
    assert corrupt(
        session, insert(StockMovement).values(**row, on_hand_delta=-1, reserved_delta=0)
    ) == [
        Finding(
            "I4",
            f"product {boots.id}",
            "on_hand 9 and reserved 2, but its movements add up to 8 and 2",
        )
    ]


def test_i5_an_order_that_is_paid_without_money(session, boots, order):
    session.execute(update(Reservation).values(state="consumed"))
    session.execute(update(Product).values(reserved=0))
    findings = corrupt(session, update(Order).values(status="paid"))

    assert findings[1:] == [
        Finding(
            "I5",
            f"order {order.id}",
            "is paid with a total of 299900 cents, but its ledger shows 0 received and 0 sold",
        )
    ]
    assert findings[0].invariant == "I4"


def test_i5_an_order_that_was_sold_but_is_not_paid(session, order, paid):
    assert corrupt(session, update(Order).values(status="cancelled"))[0] == Finding(
        "I5",
        f"order {order.id}",
        "is cancelled with a total of 299900 cents, but its ledger shows 299900 received and"
        " 299900 sold",
    )


def test_i6_money_that_is_owed_and_that_nobody_was_told_of(session, buyer, order):
    payment = ask_to_pay(session, order)
    cancel_order(session, actor_of(buyer), order.id, NOW)
    pay(session, payment)
    expected = [
        Finding(
            "I6",
            f"order {order.id}",
            "is cancelled, owes 299900 cents as refunds_due, and has no task",
        )
    ]
    assert is_clean(session)

    for kind in ("manual", "unreadable_callback"):
        assert corrupt(session, update(Task).values(kind=kind)) == expected


def test_i7_a_payment_that_stays_open(session, order):
    payment = ask_to_pay(session, order)
    session.flush()
    finding = Finding("I7", f"payment {payment.id}", "pending since 2026-11-22 09:00 UTC")

    assert audit(session, after(hours=25)) == []
    assert audit(session, after(hours=25, seconds=1)) == [finding]
    assert audit(session, after(seconds=61), AuditLimits(open_payment_seconds=60)) == [finding]
    assert corrupt(session, update(Payment).values(next_check_at=None)) == [finding]


def test_i7_a_claim_that_nobody_looks_into(session, buyer, order):
    ask = ClaimRequest(order.id, "UKM9000001", can_ask=True)
    claim = claim_payment(session, actor_of(buyer), ask, NOW)
    finding = Finding("I7", f"claim {claim.id}", "open since 2026-11-22 09:00 UTC")

    assert audit(session, after(hours=25)) == []
    assert audit(session, after(hours=25, seconds=1)) == [finding]
    assert corrupt(session, update(PaymentClaim).values(next_check_at=None)) == [finding]
    look_at_claim(session, claim.id, SECRET, after(hours=25))
    assert audit(session, after(days=9)) == []


def test_i8_a_message_that_waits_in_silence(session):
    row = {"source": "unsigned_callback", "body": b"", "headers": {}}
    message = InboxMessage(**row, received_at=NOW)
    session.add(message)
    session.flush()
    finding = Finding("I8", f"inbox message {message.id}", "waits since 2026-11-22 09:00:00 UTC")

    assert audit(session, NOW + timedelta(seconds=60)) == []
    assert audit(session, NOW + timedelta(seconds=61)) == [finding]
    report_stuck_message(session, message.id, "KeyError", NOW)
    assert audit(session, after(days=1)) == []


@pytest.fixture
def stray(session):
    """Money without an order: KES 700."""
    receive_money(session, ReceiptFacts("UKM00STRAY", 70_000, "c2b", "RENT"), NOW)
    return session.get_one(MpesaReceipt, "UKM00STRAY")


@pytest.fixture
def refund(session, paid, buyer):
    """A refund of the whole order that waits for its result."""
    row = Refund(
        kind="reversal",
        state="pending",
        order_id=paid.order_id,
        payment_id=paid.id,
        receipt=paid.mpesa_receipt,
        amount_cents=paid.amount_cents,
        reason="Late",
        requested_by=buyer.id,
        next_check_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(row)
    session.flush()
    return row


def test_i1_a_refund_that_is_not_in_the_books(session, paid, refund):
    assert is_clean(session)

    assert corrupt(session, update(Refund).values(state="succeeded")) == [
        Finding("I1", f"refund {refund.id}", "gave back 299900 cents, but its ledger says 0"),
        Finding(
            "I1",
            f"payment {paid.id}",
            "is succeeded, and 299900 of its 299900 cents were given back",
        ),
    ]


def test_i1_more_given_back_than_came(session, paid, refund):
    findings = corrupt(session, update(Refund).values(state="succeeded", amount_cents=300_000))
    assert findings[1] == Finding(
        "I1", f"receipt {paid.mpesa_receipt}", "brought 299900 cents, and 300000 were given back"
    )


def test_i1_a_refund_in_the_books_that_never_was(session, order, paid, refund):
    refund.state = "succeeded"
    give_money_back(session, refund, order, paid, NOW)
    assert is_clean(session)

    findings = corrupt(session, update(Refund).values(state="failed"))
    assert findings[0] == Finding(
        "I1", f"refund {refund.id}", "gave back 0 cents, but its ledger says 299900"
    )


def test_i5_an_order_whose_sale_was_given_back_and_that_is_not_refunded(
    session, order, paid, refund
):
    refund.state = "succeeded"
    give_money_back(session, refund, order, paid, NOW)
    finding = Finding(
        "I5",
        f"order {order.id}",
        "is paid with a total of 299900 cents, but its ledger shows 0 received and 299900 sold, of"
        " which 299900 were given back",
    )

    assert corrupt(session, update(Order).values(status="paid")) == [finding]


def test_i5_an_order_that_is_refunded_while_its_money_is_here(session, order, paid):
    assert corrupt(session, update(Order).values(status="refunded"))[0].invariant == "I5"


def test_i1_unmatched_money_beside_the_books(session, stray):
    assert is_clean(session)

    assert corrupt(session, update(MpesaReceipt).values(amount_cents=70_100)) == [
        Finding(
            "I1",
            "receipt UKM00STRAY",
            "came without an order and should stand with 70100 cents; its ledger says 70000",
        )
    ]


def test_i6_unmatched_money_that_nobody_was_told_of(session, stray):
    assert corrupt(session, update(Task).values(kind="manual")) == [
        Finding("I6", "receipt UKM00STRAY", "holds 70000 cents without an order, and has no task")
    ]


def test_i7_a_refund_that_stays_open(session, refund):
    finding = Finding("I7", f"refund {refund.id}", "pending since 2026-11-22 09:00 UTC")

    assert audit(session, after(hours=25)) == []
    assert audit(session, after(hours=25, seconds=1)) == [finding]
    assert corrupt(session, update(Refund).values(next_check_at=None)) == [finding]
