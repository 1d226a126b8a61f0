"""Every state of a payment, each kind of evidence, whatever became of the order."""

import pytest
from sqlalchemy import select, update

from app.models import (
    Account,
    MpesaReceipt,
    Notification,
    OrderStatus,
    Payment,
    PaymentState,
    Product,
    Task,
    User,
)
from app.services.apply_callback import apply_callback
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.payment_evidence import Failure, Proof, Settlement, lock_payment
from app.services.read_orders import find_order
from app.services.settle_payment import settle_payment
from tests.core import (
    after,
    ask_to_pay,
    books,
    buy,
    counts,
    differing_tables,
    failed_claim,
    is_clean,
    make_buyer,
    order_steps,
    pay,
    payment_steps,
    receipt_of,
    snapshot,
    task_kinds,
    thrown_away,
)
from tests.factories import NOW, actor_of, make_product

LATE = after(minutes=20)
CANCELLED = Failure("callback", PaymentState.CANCELLED, "1032", "Request cancelled by user", "No.")
FAILED = Failure("query", PaymentState.FAILED, "1037", "DS timeout", "We could not reach you.")
QUERIED = Proof("query", "0", "The service request is processed successfully.")


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=5, price_cents=149_950)


@pytest.fixture
def buyer(session):
    return make_buyer(session)


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1))


@pytest.fixture
def payment(session, order):
    return ask_to_pay(session, order)


def proof_of(payment: Payment, **fields) -> Proof:
    return Proof(
        **{
            "source": "callback",
            "result_code": "0",
            "result_desc": "Done",
            "receipt": receipt_of(payment.id),
            "amount_verified": True,
            **fields,
        }
    )


def end_order(session, order, case: str) -> None:
    """Bring an order to where money finds it."""
    if case.startswith("expired"):
        assert expire_order(session, order.id, after(minutes=15)) is True
    if case == "expired, stock gone":
        buy(session, make_buyer(session), (session.scalars(select(Product)).one(), 5))
    if case == "expired, product deleted":
        session.execute(update(Product).values(deleted_at=NOW))
    if case == "cancelled":
        cancel_order(session, actor_of_buyer(session, order), order.id, NOW)
    if case == "paid":
        other = ask_to_pay(session, order, after(minutes=5))
        assert pay(session, other, after(minutes=5)) == "settled"


def actor_of_buyer(session, order):
    return actor_of(session.get_one(User, order.user_id))


def notices(session, buyer) -> list[str]:
    return list(
        session.scalars(
            select(Notification.kind)
            .where(Notification.user_id == buyer.id)
            .order_by(Notification.id)
        )
    )


def test_a_callback_pays_the_order_and_writes_the_books(session, buyer, boots, order, payment):
    assert pay(session, payment, after(seconds=9)) == "settled"

    session.refresh(payment)
    assert (payment.status, payment.mpesa_receipt, payment.amount_verified) == (
        PaymentState.SUCCEEDED,
        receipt_of(payment.id),
        True,
    )
    assert (payment.result_code, payment.customer_message, payment.finished_at) == (
        "0",
        "Paid. Thank you.",
        after(seconds=9),
    )
    assert (order.status, order.paid_at) == ("paid", after(seconds=9))
    assert counts(session, boots) == (4, 0)
    assert books(session, order) == [
        ("payment", Account.MPESA, 150_000),
        ("payment", Account.CUSTOMER, -150_000),
        ("sale", Account.CUSTOMER, 150_000),
        ("sale", Account.SALES, -149_950),
        ("sale", Account.ROUNDING, -50),
    ]
    receipt = session.get_one(MpesaReceipt, receipt_of(payment.id))
    assert (receipt.payment_id, receipt.amount_cents, receipt.source) == (
        payment.id,
        150_000,
        "callback",
    )
    assert payment_steps(session, payment) == [
        (None, "created", "request"),
        ("created", "pending", "push"),
        ("pending", "succeeded", "callback"),
    ]
    assert notices(session, buyer) == ["order_paid"]
    assert task_kinds(session) == []
    assert is_clean(session)


def test_an_order_of_whole_shillings_has_no_rounding(session, buyer):
    hat = make_product(session, price_cents=50_000)
    order = buy(session, buyer, (hat, 2))
    pay(session, ask_to_pay(session, order))

    assert books(session, order)[2:] == [
        ("sale", Account.CUSTOMER, 100_000),
        ("sale", Account.SALES, -100_000),
    ]
    assert is_clean(session)


LIVE_OR_ENDED = ("created", "pending", "unknown", "failed", "cancelled")
ORDER_CASES = {
    "pending": ("paid", Account.CUSTOMER, None),
    "expired": ("paid", Account.CUSTOMER, None),
    "expired, stock gone": ("expired", Account.REFUNDS_DUE, "late_money"),
    "expired, product deleted": ("expired", Account.REFUNDS_DUE, "late_money"),
    "cancelled": ("cancelled", Account.REFUNDS_DUE, "late_money"),
    "paid": ("paid", Account.REFUNDS_DUE, "double_payment"),
}


@pytest.mark.parametrize("evidence", ["callback", "query"])
@pytest.mark.parametrize("case", ORDER_CASES)
def test_money_wins_from_every_state_and_finds_every_order(
    session, boots, order, payment, case, evidence
):
    status, owed_as, task = ORDER_CASES[case]
    payment.status = PaymentState.FAILED
    session.flush()
    end_order(session, order, case)
    for state in LIVE_OR_ENDED:
        with thrown_away(session):
            session.refresh(payment)
            session.execute(update(Payment).where(Payment.id == payment.id).values(status=state))
            proof = proof_of(payment) if evidence == "callback" else QUERIED
            assert settle_payment(session, payment.id, proof, LATE) is Settlement.SETTLED

            session.refresh(payment)
            session.refresh(order)
            assert (payment.status, payment.finished_at) == (PaymentState.SUCCEEDED, LATE)
            assert payment.mpesa_receipt == proof.receipt
            assert order.status == status
            assert books(session, order)[-5 if owed_as is Account.CUSTOMER else -2 :][:2] == [
                ("payment", Account.MPESA, 150_000),
                ("payment", owed_as, -150_000),
            ]
            assert payment_steps(session, payment)[-1] == (state, "succeeded", evidence)
            assert task_kinds(session) == ([task] if task else [])
            assert is_clean(session, LATE)

            once = snapshot(session)
            again = settle_payment(session, payment.id, proof, after(hours=1))
            assert again is Settlement.ALREADY_SETTLED
            assert snapshot(session) == once


def test_late_money_revives_an_expired_order_whose_stock_is_there(session, boots, order, payment):
    fail_payment(session, payment.id, FAILED, NOW)
    end_order(session, order, "expired")
    assert pay(session, payment, LATE) == "settled"

    session.refresh(order)
    assert (order.status, order.paid_at) == ("paid", LATE)
    assert counts(session, boots) == (4, 0)
    assert order_steps(session, order)[1:] == [
        ("pending", "expired", None, "not paid in time"),
        ("expired", "paid", None, "late payment, stock still there"),
    ]
    assert is_clean(session, LATE)


def test_late_money_without_stock_is_kept_for_a_refund_and_a_person_is_told(
    session, buyer, boots, order, payment
):
    fail_payment(session, payment.id, FAILED, NOW)
    end_order(session, order, "expired")
    buy(session, make_buyer(session), (boots, 5))
    pay(session, payment, LATE)

    view = find_order(session, actor_of(buyer), order.id)
    assert (view.order.status, view.payment_status) == ("expired", "refund_due")
    assert (view.money.paid_cents, view.amount_due_cents) == (150_000, 0)
    assert counts(session, boots) == (5, 5)
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.order_id, task.payment_id, task.priority, task.owner_id) == (
        "late_money",
        order.id,
        payment.id,
        "high",
        None,
    )
    assert task.title == f"Refund KES 1500 for order {order.number}"
    assert buyer.phone_number not in task.description
    assert receipt_of(payment.id) in task.description
    assert notices(session, buyer) == ["payment_failed", "order_expired", "refund_due"]
    assert is_clean(session, LATE)


def test_two_payments_for_one_order_leave_one_sale_and_one_refund_due(
    session, buyer, boots, order, payment
):
    fail_payment(session, payment.id, FAILED, NOW)
    second = ask_to_pay(session, order, after(minutes=4))
    assert pay(session, second, after(minutes=5)) == "settled"
    assert pay(session, payment, after(minutes=6)) == "settled"

    assert books(session, order)[5:] == [
        ("payment", Account.MPESA, 150_000),
        ("payment", Account.REFUNDS_DUE, -150_000),
    ]
    assert counts(session, boots) == (4, 0)
    assert task_kinds(session) == ["double_payment"]
    view = find_order(session, actor_of(buyer), order.id)
    assert (view.order.status, view.payment_status) == ("paid", "refund_due")
    assert view.money.paid_cents == 300_000
    assert is_clean(session, after(minutes=6))


def test_money_that_pays_a_revived_order_leaves_what_is_owed_from_before_alone(
    session, buyer, boots, order, payment
):
    """Two prompts were given up; the first one's money found no stock, the second one's did."""
    fail_payment(session, payment.id, FAILED, NOW)
    second = ask_to_pay(session, order, after(minutes=4))
    fail_payment(session, second.id, FAILED, after(minutes=5))
    end_order(session, order, "expired")
    session.execute(update(Product).values(deleted_at=NOW))
    pay(session, payment, LATE)
    session.execute(update(Product).values(deleted_at=None))
    pay(session, second, LATE)

    session.refresh(order)
    assert order.status == OrderStatus.PAID
    assert books(session, order) == [
        ("payment", Account.MPESA, 150_000),
        ("payment", Account.REFUNDS_DUE, -150_000),
        ("payment", Account.MPESA, 150_000),
        ("payment", Account.CUSTOMER, -150_000),
        ("sale", Account.CUSTOMER, 150_000),
        ("sale", Account.SALES, -149_950),
        ("sale", Account.ROUNDING, -50),
    ]
    assert find_order(session, actor_of(buyer), order.id).payment_status == "refund_due"
    assert is_clean(session, LATE)


def test_attack_81_a_receipt_of_another_payment_is_held_for_a_person(
    session, buyer, boots, order, payment
):
    pay(session, payment)
    other_order = buy(session, buyer, (boots, 1))
    other = ask_to_pay(session, other_order, after(minutes=5))
    assert pay(session, other, LATE, receipt=receipt_of(payment.id)) == "receipt_conflict"

    session.refresh(other)
    assert (other.status, other.review_reason, other.mpesa_receipt, other.next_check_at) == (
        PaymentState.UNKNOWN,
        "receipt_conflict",
        None,
        None,
    )
    assert (other_order.status, books(session, other_order)) == ("pending", [])
    assert task_kinds(session) == ["receipt_conflict"]
    assert is_clean(session, LATE)

    once = snapshot(session)
    assert pay(session, other, LATE, receipt=receipt_of(payment.id)) == "receipt_conflict"
    assert pay(session, other, LATE) == "held_for_review"
    assert settle_payment(session, other.id, QUERIED, LATE) is Settlement.HELD_FOR_REVIEW
    assert fail_payment(session, other.id, FAILED, LATE) is Settlement.HELD_FOR_REVIEW
    assert snapshot(session) == once


def test_a_receipt_of_another_payment_told_of_a_paid_one_is_only_a_task(
    session, buyer, boots, order, payment
):
    pay(session, payment)
    other = ask_to_pay(session, buy(session, buyer, (boots, 1)), after(minutes=5))
    pay(session, other, LATE)
    before = snapshot(session)
    assert pay(session, other, LATE, receipt=receipt_of(payment.id)) == "receipt_conflict"

    assert differing_tables(before, snapshot(session)) == {"tasks"}
    assert task_kinds(session) == ["receipt_conflict"]


def test_a_second_receipt_for_one_payment_is_a_persons_to_weigh(session, order, payment):
    pay(session, payment)
    before = snapshot(session)
    assert pay(session, payment, LATE, receipt="SECOND0001") == "already_settled"

    once = snapshot(session)
    assert differing_tables(before, once) == {"payment_events", "tasks"}
    assert session.get_one(Payment, payment.id).mpesa_receipt == receipt_of(payment.id)
    assert task_kinds(session) == ["receipt_conflict"]
    assert pay(session, payment, LATE, receipt="SECOND0001") == "already_settled"
    assert snapshot(session) == once
    assert is_clean(session, LATE)


def test_the_query_first_and_then_the_callback_adds_the_receipt(session, order, payment):
    assert settle_payment(session, payment.id, QUERIED, NOW) is Settlement.SETTLED
    session.refresh(payment)
    assert (payment.mpesa_receipt, payment.amount_verified) == (None, False)
    money = books(session, order)

    assert pay(session, payment, after(minutes=1)) == "already_settled"
    session.refresh(payment)
    assert (payment.mpesa_receipt, payment.amount_verified) == (receipt_of(payment.id), True)
    assert session.get_one(MpesaReceipt, receipt_of(payment.id)).payment_id == payment.id
    assert books(session, order) == money
    assert is_clean(session)


def test_the_callback_first_and_then_the_query_adds_nothing(session, order, payment):
    pay(session, payment)
    session.flush()
    once = snapshot(session)

    assert settle_payment(session, payment.id, QUERIED, LATE) is Settlement.ALREADY_SETTLED
    assert snapshot(session) == once


def test_attack_80_success_wins_after_failure_and_failure_after_success_moves_nothing(
    session, buyer, order, payment
):
    for failure in (CANCELLED, FAILED):
        with thrown_away(session):
            assert fail_payment(session, payment.id, failure, NOW) is Settlement.FAILED
            session.refresh(payment)
            assert (payment.status, payment.result_code, payment.next_check_at) == (
                failure.status,
                failure.result_code,
                None,
            )
            assert (payment.customer_message, payment.finished_at) == (
                failure.customer_message,
                NOW,
            )
            assert notices(session, buyer) == ["payment_failed"]
            assert (order.status, books(session, order)) == ("pending", [])
            assert is_clean(session)

            once = snapshot(session)
            assert fail_payment(session, payment.id, failure, LATE) is Settlement.ALREADY_FINAL
            assert snapshot(session) == once

            assert pay(session, payment, LATE) == "settled"
            session.refresh(order)
            assert order.status == OrderStatus.PAID
            once = snapshot(session)
            assert fail_payment(session, payment.id, failure, LATE) is Settlement.ALREADY_FINAL
            assert (
                apply_callback(session, payment.id, failed_claim(payment, failure), LATE)
                == "already_final"
            )
            assert snapshot(session) == once
            assert is_clean(session, LATE)


def test_a_failure_that_is_our_own_fault_tells_a_person_once_a_day(session, buyer, boots):
    fault = Failure("callback", PaymentState.FAILED, "2028", "Not permitted", "Sorry.", alert=True)
    for minutes in (0, 5, 24 * 60):
        order = buy(session, buyer, (boots, 1), now=after(minutes=minutes))
        payment = ask_to_pay(session, order, after(minutes=minutes))
        fail_payment(session, payment.id, fault, after(minutes=minutes))

    tasks = session.scalars(select(Task).order_by(Task.id)).all()
    assert [task.dedupe_key for task in tasks] == [
        "mpesa_configuration:2028:2026-11-22",
        "mpesa_configuration:2028:2026-11-23",
    ]


def test_a_refunded_payment_takes_no_more_evidence(session, order, payment):
    pay(session, payment)
    payment.status = PaymentState.REFUNDED
    once = snapshot(session)

    assert settle_payment(session, payment.id, QUERIED, LATE) is Settlement.ALREADY_SETTLED
    assert pay(session, payment, LATE) == "already_settled"
    assert fail_payment(session, payment.id, FAILED, LATE) is Settlement.ALREADY_FINAL
    assert snapshot(session) == once


def test_less_than_the_total_pays_a_part_and_no_order(session, order, payment):
    payment.amount_cents = 149_900

    assert settle_payment(session, payment.id, QUERIED, NOW) is Settlement.SETTLED
    assert order.status == OrderStatus.PENDING
    assert books(session, order) == [
        ("payment", Account.MPESA, 149_900),
        ("payment", Account.CUSTOMER, -149_900),
    ]
    assert is_clean(session)


def test_a_payment_that_is_not_there_cannot_be_locked(session):
    with pytest.raises(RuntimeError, match="Payment 999999 has no order"):
        lock_payment(session, 999_999)
