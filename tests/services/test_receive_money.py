"""Money by every road: one receipt counts once, for the order that it belongs to."""

from itertools import permutations

import pytest
from sqlalchemy import select, update

from app.models import (
    Account,
    Decision,
    MpesaReceipt,
    Notification,
    Order,
    OrderStatus,
    Payment,
    PaymentKind,
    PaymentState,
    ReceiptState,
    Refund,
    RefundState,
    Task,
    TaskStatus,
    User,
)
from app.policies import Role
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.payment_evidence import Failure, Proof, Settlement
from app.services.read_orders import find_order
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import Reception, receive_money
from app.services.settle_payment import settle_payment
from app.services.unmatched_money import attach_money, dismiss_money
from tests.core import (
    after,
    ask_to_pay,
    books,
    buy,
    counts,
    is_clean,
    make_buyer,
    pay,
    payment_steps,
    receipt_of,
    snapshot,
    task_kinds,
    thrown_away,
)
from tests.factories import NOW, actor_of, make_product, make_user

FAILED = Failure("query", PaymentState.FAILED, "1037", "DS timeout", "We could not reach you.")
QUERIED = Proof("query", "0", "The service request is processed successfully.")
TOTAL = 150_000


@pytest.fixture
def boots(session):
    return make_product(session, name="Boots", stock=5, price_cents=TOTAL)


@pytest.fixture
def buyer(session):
    return make_buyer(session, phone_number="254712345678")


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1))


def money(order: Order | None = None, cents: int = TOTAL, **fields) -> ReceiptFacts:
    """What a confirmation says of KES 1500 for an order."""
    return ReceiptFacts(
        **{
            "receipt": "UKM0000PAY",
            "amount_cents": cents,
            "source": "c2b",
            "bill_reference": order.number if order else None,
            "transacted_at": after(minutes=1),
            "payer_phone": "2547 ***** 678",
            "payer_name": "WANJIKU",
            **fields,
        }
    )


def payments_of(session, order: Order) -> list[tuple]:
    return [
        (payment.kind, payment.status, payment.amount_cents, payment.mpesa_receipt)
        for payment in session.scalars(
            select(Payment)
            .where(Payment.order_id == order.id)
            .order_by(Payment.id)
            .execution_options(populate_existing=True)
        )
    ]


def notices(session, user: User) -> list[str]:
    mine = select(Notification.kind).where(Notification.user_id == user.id)
    return list(session.scalars(mine.order_by(Notification.id)))


def test_money_for_an_order_pays_it_and_is_a_payment_of_its_own(session, buyer, boots, order):
    assert receive_money(session, money(order), after(minutes=1)) is Reception.BOOKED

    assert payments_of(session, order) == [("paybill", "succeeded", TOTAL, "UKM0000PAY")]
    payment = session.scalars(select(Payment)).one()
    assert (payment.user_id, payment.msisdn, payment.amount_verified) == (buyer.id, None, True)
    assert payment_steps(session, payment) == [(None, "succeeded", "c2b")]
    assert books(session, order) == [
        ("payment", Account.MPESA, TOTAL),
        ("payment", Account.CUSTOMER, -TOTAL),
        ("sale", Account.CUSTOMER, TOTAL),
        ("sale", Account.SALES, -TOTAL),
    ]
    row = session.get_one(MpesaReceipt, "UKM0000PAY")
    assert (row.payment_id, row.state, row.bill_reference, row.payer_name, row.transacted_at) == (
        payment.id,
        ReceiptState.MATCHED,
        order.number,
        "WANJIKU",
        after(minutes=1),
    )
    assert order.status == OrderStatus.PAID
    assert counts(session, boots) == (4, 0)
    assert (notices(session, buyer), task_kinds(session)) == (["order_paid"], [])
    assert is_clean(session)


def test_the_same_news_by_every_road_counts_once(session, order):
    receive_money(session, money(order), NOW)
    once = snapshot(session)

    for source in ("c2b", "pull", "statement", "status"):
        assert receive_money(session, money(order, source=source), after(hours=1)) is (
            Reception.KNOWN
        )
    assert snapshot(session) == once


def test_a_phone_that_m_pesa_shows_whole_is_kept(session, order):
    receive_money(session, money(order, payer_phone="254799000111"), NOW)

    assert session.scalars(select(Payment)).one().msisdn == "254799000111"


TYPED = ("{0}", " {0} ", "{lower}", "{spaced}", "{dashed}", "Order {0}", "acc/{lower}", "{0}.")


@pytest.mark.parametrize("form", TYPED)
def test_an_account_number_is_understood_however_it_is_typed(session, order, form):
    number = order.number
    typed = form.format(
        number,
        lower=number.lower(),
        spaced=" ".join(number),
        dashed=f"{number[:3]}-{number[3:]}",
    )
    assert receive_money(session, money(order, bill_reference=typed), NOW) is Reception.BOOKED
    assert is_clean(session)


def test_a_number_with_a_slip_is_suggested_and_never_booked(session, buyer, boots, order):
    buy(session, buyer, (boots, 2))
    wrong = ("2" if order.number[0] != "2" else "3") + order.number[1:]
    facts = money(bill_reference=wrong, cents=99_900)

    assert receive_money(session, facts, NOW) is Reception.UNMATCHED
    assert payments_of(session, order) == []
    assert order.status == OrderStatus.PENDING
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.receipt, task.order_id) == ("unmatched_money", "UKM0000PAY", None)
    assert order.number in task.description
    assert is_clean(session)


@pytest.mark.parametrize("typed", [None, "", "   ", "RENT", "' OR 1=1", "<b>", "9" * 40, "ZZZZZZZ"])
def test_money_that_names_no_order_is_in_the_books_and_with_a_person(session, order, typed):
    facts = money(bill_reference=typed)

    assert receive_money(session, facts, NOW) is Reception.UNMATCHED
    row = session.get_one(MpesaReceipt, facts.receipt)
    assert (row.state, row.payment_id, row.amount_cents) == ("unmatched", None, TOTAL)
    assert task_kinds(session) == ["unmatched_money"]
    assert is_clean(session)

    once = snapshot(session)
    assert receive_money(session, facts, after(hours=1)) is Reception.KNOWN
    assert snapshot(session) == once


def test_parts_add_up_to_a_paid_order(session, buyer, boots, order):
    first = money(order, 40_000, receipt="UKM0PART01")
    assert receive_money(session, first, NOW) is Reception.BOOKED
    view = find_order(session, actor_of(buyer), order.id)
    assert (order.status, view.payment_status, view.money.paid_cents, view.amount_due_cents) == (
        "pending",
        "unpaid",
        40_000,
        110_000,
    )
    assert order.expires_at == after(hours=1)
    assert counts(session, boots) == (5, 1)
    assert is_clean(session)

    prompt = ask_to_pay(session, order, after(minutes=5))
    assert prompt.amount_cents == 110_000
    assert pay(session, prompt, after(minutes=6)) == "settled"
    assert order.status == OrderStatus.PAID
    assert books(session, order)[4:] == [
        ("sale", Account.CUSTOMER, TOTAL),
        ("sale", Account.SALES, -TOTAL),
    ]
    assert notices(session, buyer) == ["part_paid", "order_paid"]
    assert is_clean(session)


def test_what_is_beyond_the_price_is_owed_back(session, buyer, order):
    assert receive_money(session, money(order, 170_000), NOW) is Reception.BOOKED

    assert books(session, order)[2:] == [
        ("sale", Account.CUSTOMER, 170_000),
        ("sale", Account.SALES, -TOTAL),
        ("sale", Account.REFUNDS_DUE, -20_000),
    ]
    view = find_order(session, actor_of(buyer), order.id)
    assert (view.order.status, view.payment_status) == ("paid", "refund_due")
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.title) == (
        "over_payment",
        f"Refund KES 200 that was paid beyond order {order.number}",
    )
    assert is_clean(session)


def test_cents_that_m_pesa_cannot_move_are_no_over_payment(session, buyer):
    hat = make_product(session, price_cents=99_975)
    order = buy(session, buyer, (hat, 1))
    receive_money(session, money(order, 50_000, receipt="UKM0PART01"), NOW)
    receive_money(session, money(order, 50_000, receipt="UKM0PART02"), NOW)

    assert books(session, order)[4:] == [
        ("sale", Account.CUSTOMER, 100_000),
        ("sale", Account.SALES, -99_975),
        ("sale", Account.ROUNDING, -25),
    ]
    assert task_kinds(session) == []
    assert is_clean(session)


@pytest.mark.parametrize("end", ["cancelled", "expired"])
def test_a_part_of_an_order_that_ends_is_set_aside(session, buyer, boots, order, end):
    receive_money(session, money(order, 40_000), NOW)
    if end == "cancelled":
        cancel_order(session, actor_of(buyer), order.id, after(minutes=2))
    else:
        assert expire_order(session, order.id, after(minutes=59)) is False
        assert expire_order(session, order.id, after(minutes=60)) is True

    assert order.status == end
    assert books(session, order)[2:] == [
        ("set_aside", Account.CUSTOMER, 40_000),
        ("set_aside", Account.REFUNDS_DUE, -40_000),
    ]
    assert (task_kinds(session), counts(session, boots)) == (["late_money"], (5, 0))
    assert find_order(session, actor_of(buyer), order.id).payment_status == "refund_due"
    assert is_clean(session, after(hours=2))


def test_the_rest_that_comes_late_buys_the_order_with_what_was_set_aside(
    session, buyer, boots, order
):
    receive_money(session, money(order, 40_000, receipt="UKM0PART01"), NOW)
    expire_order(session, order.id, after(hours=1))
    rest = money(order, 120_000, receipt="UKM0PART02")
    assert receive_money(session, rest, after(hours=2)) is Reception.BOOKED

    assert order.status == OrderStatus.PAID
    assert books(session, order)[4:] == [
        ("payment", Account.MPESA, 120_000),
        ("payment", Account.CUSTOMER, -120_000),
        ("reclaim", Account.REFUNDS_DUE, 30_000),
        ("reclaim", Account.CUSTOMER, -30_000),
        ("sale", Account.CUSTOMER, TOTAL),
        ("sale", Account.SALES, -TOTAL),
    ]
    assert counts(session, boots) == (4, 0)
    assert is_clean(session, after(hours=3))
    # KES 100 are still owed, so the task about them stays
    assert session.scalars(select(Task)).one().status == TaskStatus.TODO


def test_when_nothing_is_owed_any_more_the_task_about_it_is_done(session, order):
    receive_money(session, money(order, 40_000, receipt="UKM0PART01"), NOW)
    expire_order(session, order.id, after(hours=1))
    receive_money(session, money(order, 110_000, receipt="UKM0PART02"), after(hours=2))

    task = session.scalars(select(Task).execution_options(populate_existing=True)).one()
    decision = session.scalars(select(Decision)).one()
    assert (task.status, decision.task_id, decision.action, decision.actor_id) == (
        TaskStatus.DONE,
        task.id,
        "reclaimed",
        None,
    )
    assert is_clean(session, after(hours=3))


def test_what_is_on_its_way_back_buys_nothing_any_more(session, buyer, order):
    receive_money(session, money(order, 40_000, receipt="UKM0PART01"), NOW)
    expire_order(session, order.id, after(hours=1))
    admin = make_user(session, Role.ADMIN)
    first = session.scalars(select(Payment)).one()
    session.add(
        Refund(
            kind="payout",
            state=RefundState.PENDING,
            order_id=order.id,
            payment_id=first.id,
            receipt="UKM0PART01",
            amount_cents=40_000,
            reason="Late",
            requested_by=admin.id,
            next_check_at=after(hours=3),
            created_at=NOW,
            updated_at=NOW,
        )
    )
    rest = money(order, 110_000, receipt="UKM0PART02")
    assert receive_money(session, rest, after(hours=2)) is Reception.BOOKED

    assert order.status == OrderStatus.EXPIRED
    assert books(session, order)[-1] == ("payment", Account.REFUNDS_DUE, -110_000)
    assert task_kinds(session) == ["late_money", "late_money"]
    assert is_clean(session, after(hours=2))


ENDS = {
    "paid": ("double_payment", "paid"),
    "cancelled": ("late_money", "cancelled"),
    "expired, stock gone": ("late_money", "expired"),
}


@pytest.mark.parametrize("case", ENDS)
def test_money_for_an_order_that_cannot_be_had_is_owed_back(session, buyer, boots, order, case):
    task, status = ENDS[case]
    if case == "paid":
        pay(session, ask_to_pay(session, order))
    elif case == "cancelled":
        cancel_order(session, actor_of(buyer), order.id, NOW)
    else:
        expire_order(session, order.id, after(minutes=15))
        buy(session, make_buyer(session), (boots, 5))
    assert receive_money(session, money(order), after(minutes=20)) is Reception.BOOKED

    assert (order.status, task_kinds(session)) == (status, [task])
    assert books(session, order)[-1] == ("payment", Account.REFUNDS_DUE, -TOTAL)
    assert is_clean(session, after(minutes=20))


def tell(session, road: str, order: Order, prompt: Payment) -> str:
    """One piece of news about the money of one prompt."""
    receipt = receipt_of(prompt.id)
    if road == "callback":
        return pay(session, prompt, after(minutes=2))
    if road == "query":
        return str(settle_payment(session, prompt.id, QUERIED, after(minutes=2)))
    return str(receive_money(session, money(order, receipt=receipt, source=road), after(minutes=2)))


@pytest.mark.parametrize("roads", list(permutations(["callback", "query", "c2b", "pull"])))
def test_the_money_of_a_prompt_counts_once_in_whatever_order_the_roads_tell_it(
    session, order, roads
):
    prompt = ask_to_pay(session, order)
    for road in roads:
        tell(session, road, order, prompt)
        assert order.status == OrderStatus.PAID

    assert payments_of(session, order) == [("stk_push", "succeeded", TOTAL, receipt_of(prompt.id))]
    assert [entry[0] for entry in books(session, order)] == ["payment", "payment", "sale", "sale"]
    assert task_kinds(session) == []
    assert is_clean(session)


def test_a_confirmation_gives_a_queried_payment_its_receipt(session, order):
    prompt = ask_to_pay(session, order)
    settle_payment(session, prompt.id, QUERIED, NOW)
    assert receive_money(session, money(order), after(minutes=2)) is Reception.SETTLED

    session.refresh(prompt)
    assert (prompt.mpesa_receipt, prompt.amount_verified) == ("UKM0000PAY", True)


def test_money_from_another_phone_does_not_answer_a_prompt(session, order):
    """A friend pays by paybill while the buyer's prompt is out; then the buyer pays as well."""
    prompt = ask_to_pay(session, order)
    friend = money(order, payer_phone="2541 ***** 999")
    assert receive_money(session, friend, after(minutes=1)) is Reception.BOOKED
    assert pay(session, prompt, after(minutes=2)) == "settled"

    assert payments_of(session, order) == [
        ("stk_push", "succeeded", TOTAL, receipt_of(prompt.id)),
        ("paybill", "succeeded", TOTAL, "UKM0000PAY"),
    ]
    assert task_kinds(session) == ["double_payment"]
    assert is_clean(session)


def test_money_from_before_a_prompt_does_not_answer_it(session, order):
    receive_money(session, money(order, 75_000, receipt="UKM0PART01"), NOW)
    prompt = ask_to_pay(session, order, after(minutes=10))
    assert prompt.amount_cents == 75_000
    early = money(order, 75_000, receipt="UKM0PART02", transacted_at=after(minutes=5))

    assert receive_money(session, early, after(minutes=11)) is Reception.BOOKED
    assert [row[0] for row in payments_of(session, order)] == ["paybill", "stk_push", "paybill"]
    assert order.status == OrderStatus.PAID
    assert is_clean(session)


def test_a_receipt_told_again_as_that_of_a_failed_prompt_counts_once(session, order):
    """The prompt failed, its money came all the same and was booked; then its callback says so."""
    prompt = ask_to_pay(session, order)
    fail_payment(session, prompt.id, FAILED, NOW)
    receive_money(session, money(order), after(minutes=2))
    assert order.status == OrderStatus.PAID
    money_then = books(session, order)

    assert pay(session, prompt, after(minutes=3), receipt="UKM0000PAY") == "already_settled"
    assert settle_payment(session, prompt.id, QUERIED, after(minutes=4)) is (
        Settlement.ALREADY_SETTLED
    )
    assert (books(session, order), task_kinds(session)) == (money_then, [])
    assert is_clean(session)


def test_a_receipt_told_again_as_that_of_a_prompt_that_is_out_ends_it(session, order):
    prompt = ask_to_pay(session, order)
    receive_money(session, money(order, payer_phone="2541 ***** 999"), after(minutes=1))
    assert pay(session, prompt, after(minutes=2), receipt="UKM0000PAY") == "already_settled"

    session.refresh(prompt)
    assert (prompt.status, prompt.next_check_at, prompt.finished_at) == (
        PaymentState.FAILED,
        None,
        after(minutes=2),
    )
    assert len(books(session, order)) == 4
    assert is_clean(session)


def test_a_second_receipt_is_more_money(session, order):
    prompt = ask_to_pay(session, order)
    pay(session, prompt)
    assert receive_money(session, money(order), after(minutes=9)) is Reception.BOOKED

    assert task_kinds(session) == ["double_payment"]
    assert is_clean(session)


def test_m_pesas_books_decide_what_was_held_for_a_person(session, order):
    prompt = ask_to_pay(session, order)
    pay(session, prompt, amount_cents=TOTAL + 100)
    session.refresh(prompt)
    assert prompt.review_reason == "wrong_amount"

    facts = money(order, source="statement", receipt=receipt_of(prompt.id))
    assert receive_money(session, facts, after(hours=1)) is Reception.SETTLED
    session.refresh(prompt)
    assert (prompt.status, prompt.review_reason, order.status) == ("succeeded", None, "paid")
    task = session.scalars(select(Task).execution_options(populate_existing=True)).one()
    assert (task.kind, task.status) == ("wrong_amount", "done")
    assert session.scalars(select(Decision.reason)).one() == "The statement says that it was paid."
    assert is_clean(session, after(hours=1))


def test_a_receipt_with_two_amounts_is_compared_by_a_person(session, order):
    receive_money(session, money(order), NOW)
    before = books(session, order)

    other = money(order, TOTAL + 500, source="statement")
    assert receive_money(session, other, after(hours=1)) is Reception.DIFFERENT
    assert receive_money(session, other, after(hours=2)) is Reception.DIFFERENT
    assert (books(session, order), task_kinds(session)) == (before, ["statement_difference"])
    assert session.get_one(MpesaReceipt, "UKM0000PAY").amount_cents == TOTAL


def test_later_news_that_names_the_order_matches_the_money(session, order):
    receive_money(session, money(bill_reference=None, source="statement"), NOW)
    assert receive_money(session, money(order), after(minutes=5)) is Reception.BOOKED

    assert order.status == OrderStatus.PAID
    row = session.get_one(MpesaReceipt, "UKM0000PAY")
    assert (row.state, row.bill_reference) == ("matched", order.number)
    task = session.scalars(select(Task).execution_options(populate_existing=True)).one()
    assert task.status == TaskStatus.DONE
    assert is_clean(session)


def test_the_callback_of_a_prompt_finds_its_money_among_the_unmatched(session, order):
    prompt = ask_to_pay(session, order)
    receipt = receipt_of(prompt.id)
    receive_money(session, money(bill_reference="RENT", receipt=receipt, source="statement"), NOW)
    assert pay(session, prompt, after(minutes=5)) == "settled"

    assert payments_of(session, order) == [("stk_push", "succeeded", TOTAL, receipt)]
    assert session.get_one(MpesaReceipt, receipt).state == ReceiptState.MATCHED
    assert is_clean(session)


def test_a_person_attaches_money_to_its_order(session, order):
    receive_money(session, money(bill_reference="RENT"), NOW)
    admin = make_user(session, Role.ADMIN)
    row = find_receipt(session, "UKM0000PAY")
    payment = attach_money(session, row, order, after(hours=1), actor_id=admin.id)

    assert (payment.kind, payment.order_id, order.status) == (PaymentKind.PAYBILL, order.id, "paid")
    decision = session.scalars(select(Decision)).one()
    assert (decision.action, decision.actor_id) == ("matched", admin.id)
    with pytest.raises(RuntimeError, match="is matched, not unmatched"):
        attach_money(session, row, order, after(hours=1), actor_id=admin.id)
    assert is_clean(session)


def test_a_person_dismisses_money_that_is_not_the_shops(session, order):
    receive_money(session, money(bill_reference="RENT"), NOW)
    admin = make_user(session, Role.ADMIN)
    row = find_receipt(session, "UKM0000PAY")
    dismiss_money(session, row, "The landlord's.", after(hours=1), actor_id=admin.id)

    assert row.state == ReceiptState.DISMISSED
    with pytest.raises(RuntimeError, match="is dismissed, not unmatched"):
        dismiss_money(session, row, "Again.", after(hours=1), actor_id=admin.id)
    assert is_clean(session)
    # news of it later moves nothing, and a callback that names it is a conflict for a person
    assert receive_money(session, money(order), after(hours=2)) is Reception.KNOWN
    prompt = ask_to_pay(session, order, after(minutes=2))
    assert pay(session, prompt, after(hours=3), receipt="UKM0000PAY") == "receipt_conflict"
    assert is_clean(session, after(hours=3))


def test_the_receipt_of_another_order_stays_there(session, buyer, boots, order):
    receive_money(session, money(order), NOW)
    other = buy(session, buyer, (boots, 1))
    before = snapshot(session)

    with thrown_away(session):
        assert receive_money(session, money(other), after(minutes=1)) is Reception.KNOWN
        session.execute(update(User).values(updated_at=NOW))
        assert payments_of(session, other) == []
    assert snapshot(session) == before
