"""Each matter of money from how it comes about to its decision: the books are clean after each."""

import pytest
from sqlalchemy import select, update

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import (
    Account,
    Decision,
    InboxMessage,
    LedgerEvent,
    MoneySource,
    MpesaReceipt,
    Notification,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    Product,
    Refund,
    StatementImport,
    StatementLine,
    Task,
    TaskKind,
)
from app.policies import Role
from app.services.change_tasks import TaskChange, change_task
from app.services.confirm_payment import confirm_payment
from app.services.end_order import cancel_order, expire_order
from app.services.exceptions import (
    Action,
    Attachment,
    Effect,
    PaidWord,
    attach_to_order,
    dismiss,
    foresee_attachment,
    give_receipt,
    give_right_amount,
    read_exception,
    retry_message,
    say_it_is_not_there,
    say_it_is_there,
    say_not_paid,
    say_paid,
    write_note,
)
from app.services.fail_payment import fail_payment
from app.services.figures import read_sales
from app.services.hold_for_review import COUNTED_APART, WRITTEN_OFF
from app.services.inbox import claim_message, finish_message, note_unstuck
from app.services.ledger import balances_of
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Proof, Settlement
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
    snapshot,
    task_kinds,
    thrown_away,
)
from tests.factories import NOW, actor_of, make_user
from tests.matters import (
    EVERY_KIND,
    LIED,
    TIMED_OUT,
    actor_of_buyer,
    claimed,
    comes_in,
    conflicting,
    different,
    disputed,
    doubled,
    filed,
    given_up,
    late,
    mismatched,
    never_answered,
    new_order,
    order_of,
    over,
    payment_of,
    refund_of,
    refunding,
    stuck,
    the_task,
    two_receipts,
    unmatched,
    unreadable,
    wrong_amount,
)

WHY = "I looked on the statement."
LATER = after(hours=2)
QUERIED_PAID = Proof("query", "0", "The service request is processed successfully.")


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN, username="mkuu"))


def decisions(session, task) -> list[tuple]:
    rows = select(Decision.actor_id, Decision.action, Decision.reason)
    mine = rows.where(Decision.task_id == task.id).order_by(Decision.id)
    return [tuple(row) for row in session.execute(mine)]


def status_of(session, task) -> str:
    return session.get_one(Task, task.id, populate_existing=True).status


def told(session, user_id: int) -> list[str]:
    mine = select(Notification.kind).where(Notification.user_id == user_id)
    return list(session.scalars(mine.order_by(Notification.id)))


def register(session, receipt: str) -> tuple:
    row = session.get_one(MpesaReceipt, receipt, populate_existing=True)
    return row.state, row.payment_id, row.amount_cents


def is_decided(session, task, admin, action: str) -> bool:
    """Closed, by this admin, with this as the last word on it; the books add up."""
    assert status_of(session, task) == "done"
    assert decisions(session, task)[-1][:2] == (admin.user_id, action)
    return is_clean(session, LATER)


# money without an order


def attach(session, admin, task, order, **options):
    ask = Attachment(order.number, **options)
    return attach_to_order(session, admin, task.id, ask, LATER)


def test_money_without_an_order_pays_the_one_that_it_is_given_to(session, admin):
    task, order = unmatched(session), new_order(session)
    payment = attach(session, admin, task, order, reason="She called.", expected=Effect.PAYS)

    assert order.status == "paid"
    assert (payment.kind, payment.status, payment.mpesa_receipt) == (
        "paybill",
        "succeeded",
        "UKC0000001",
    )
    assert register(session, "UKC0000001") == ("matched", payment.id, 150_000)
    assert decisions(session, task) == [
        (admin.user_id, "matched", f"It belongs to payment {payment.id}. She called.")
    ]
    assert told(session, order.user_id) == ["order_paid"]
    assert is_decided(session, task, admin, "matched")


def ended(session, case: str) -> Order:
    """An order of KES 1500 as money may find it."""
    order = new_order(session, stock=1)
    if case.startswith("part"):
        comes_in(session, "UKPART0001", 50_000, order.number)
    if "expired" in case:
        assert expire_order(session, order.id, after(hours=1)) is True
    if "gone" in case:
        session.execute(update(Product).values(deleted_at=NOW))
    if case == "cancelled":
        cancel_order(session, actor_of_buyer(session, order), order.id, NOW)
    if case == "paid":
        pay(session, ask_to_pay(session, order))
    return order


EFFECTS = [
    # how the order is, what comes, what it does, too much, still missing, how the order is then
    ("pending", 150_000, Effect.PAYS, 0, 0, "paid"),
    ("pending", 170_000, Effect.PAYS, 20_000, 0, "paid"),
    ("pending", 120_000, Effect.PAYS_PART, 0, 30_000, "pending"),
    ("part", 100_000, Effect.PAYS, 0, 0, "paid"),
    ("part", 99_900, Effect.PAYS_PART, 0, 100, "pending"),
    ("expired", 150_000, Effect.REVIVES, 0, 0, "paid"),
    ("expired", 150_100, Effect.REVIVES, 100, 0, "paid"),
    ("expired", 120_000, Effect.OWED_BACK, 120_000, 0, "expired"),
    ("expired and gone", 150_000, Effect.OWED_BACK, 150_000, 0, "expired"),
    ("part, expired", 100_000, Effect.REVIVES, 0, 0, "paid"),
    ("part, expired", 90_000, Effect.OWED_BACK, 90_000, 0, "expired"),
    ("cancelled", 150_000, Effect.OWED_BACK, 150_000, 0, "cancelled"),
    ("paid", 150_000, Effect.OWED_BACK, 150_000, 0, "paid"),
]


@pytest.mark.parametrize(("case", "cents", "effect", "excess", "lacking", "status"), EFFECTS)
def test_an_admin_is_told_beforehand_what_the_money_will_do(
    session, admin, case, cents, effect, excess, lacking, status
):
    order = ended(session, case)
    task = unmatched(session, cents=cents)
    owed = -balances_of(session, order.id)[Account.REFUNDS_DUE]
    before = snapshot(session)
    found, foresight = foresee_attachment(session, admin, task.id, order.number.lower())

    assert snapshot(session) == before
    assert (found.id, foresight.effect) == (order.id, effect)
    assert (foresight.excess_cents, foresight.lacking_cents) == (excess, lacking)
    attach(session, admin, task, order, expected=effect)
    session.refresh(order)
    now_owed = -balances_of(session, order.id)[Account.REFUNDS_DUE]
    assert order.status == status
    if case.startswith("part, expired") and effect is Effect.REVIVES:
        owed = 0  # what was set aside has bought the order
    assert now_owed - owed == excess
    assert is_decided(session, task, admin, "matched")


def test_what_is_typed_badly_attaches_nothing(session, admin):
    task, order = unmatched(session), new_order(session)
    for number in ("", "NOSUCH", order.number[:-1], "'; --"):
        with refused(session, InvalidInput, "invalid_input"):
            attach_to_order(session, admin, task.id, Attachment(number), LATER)
    assert attach_to_order(session, admin, task.id, Attachment(f" {order.number.lower()} "), LATER)


def test_an_order_that_changed_since_the_admin_was_told_gets_no_money(session, admin):
    task, order = unmatched(session), new_order(session)
    pay(session, ask_to_pay(session, order))
    with refused(session, Conflict, "effect_changed"):
        attach(session, admin, task, order, expected=Effect.PAYS)
    attach(session, admin, task, order, expected=Effect.OWED_BACK)
    assert task_kinds(session) == ["unmatched_money", "double_payment"]
    assert is_decided(session, task, admin, "matched")


def test_money_that_a_refund_is_taking_back_is_neither_attached_nor_dismissed(session, admin):
    task, order = unmatched(session), new_order(session)
    refund = Refund(
        kind="payout",
        state="pending",
        receipt="UKC0000001",
        amount_cents=150_000,
        reason="x",
        requested_by=admin.user_id,
        next_check_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(refund)
    with refused(session, Conflict, "refund_under_way"):
        attach(session, admin, task, order)
    with refused(session, Conflict, "refund_under_way"):
        dismiss(session, admin, task.id, WHY, LATER)
    refund.state = "failed"
    assert attach(session, admin, task, order).order_id == order.id


def test_money_that_is_no_business_of_the_shop_leaves_its_debts(session, admin):
    task = unmatched(session)
    dismiss(session, admin, task.id, WHY, LATER)

    assert register(session, "UKC0000001") == ("dismissed", None, 150_000)
    assert decisions(session, task) == [(admin.user_id, "dismissed", WHY)]
    assert is_decided(session, task, admin, "dismissed")


def test_a_dismissal_that_was_wrong_is_mended_by_whoever_finds_the_order(session, admin):
    dismiss(session, admin, unmatched(session).id, WHY, LATER)
    assert comes_in(session, "UKC0000001", 150_000, new_order(session).number) == "known"
    task = given_up(session)
    say_paid(session, admin, task.id, PaidWord("UKC0000001", WHY), LATER)

    payment = payment_of(session, task)
    assert (payment.status, payment.review_reason) == ("failed", COUNTED_APART)
    assert order_of(session, task).status == "paid"
    assert register(session, "UKC0000001")[0] == "matched"
    outside = select(LedgerEvent.kind).where(LedgerEvent.reference == "receipt:UKC0000001")
    assert session.scalars(outside.order_by(LedgerEvent.id)).all() == [
        "unmatched",
        "dismissed",
        "correction",
    ]
    assert is_decided(session, task, admin, "paid")


# what is owed back


@pytest.mark.parametrize("make", [late, doubled, over])
def test_money_that_is_owed_is_not_dismissed_before_it_is_on_its_way(session, admin, make):
    task = make(session)
    order = order_of(session, task)
    file = read_exception(session, admin, task.id, LATER)
    owed = -balances_of(session, order.id)[Account.REFUNDS_DUE]
    assert (Action.REFUND in file.actions, Action.DISMISS in file.actions) == (True, False)
    assert (file.queued.amount_cents, [offer.amount_cents for offer in file.offers]) == (
        owed,
        [owed],
    )
    with refused(session, Conflict, "money_still_owed"):
        dismiss(session, admin, task.id, WHY, LATER)
    with refused(session, Conflict, "needs_a_decision"):
        change_task(session, admin, task.id, TaskChange(status="done"), LATER)

    refund = refund_of(session, payment_of(session, task), "pending", owed - 100)
    with refused(session, Conflict, "money_still_owed"):
        dismiss(session, admin, task.id, WHY, LATER)
    assert [
        offer.amount_cents for offer in read_exception(session, admin, task.id, LATER).offers
    ] == [100]
    refund.amount_cents = owed
    session.flush()
    dismiss(session, admin, task.id, "A refund is under way.", LATER)
    assert is_decided(session, task, admin, "dismiss")


def test_a_refund_that_went_through_ends_the_matter_by_itself(session, admin):
    task = late(session)
    payment = payment_of(session, task)
    refund = refund_of(session, payment, "succeeded")
    give_money_back(session, refund, order_of(session, task), payment, LATER)

    assert (status_of(session, task), decisions(session, task)[0][1]) == ("done", "refunded")
    with refused(session, Conflict, "already_decided"):
        dismiss(session, admin, task.id, WHY, LATER)
    assert is_clean(session, LATER)


def test_what_is_owed_without_one_payment_is_offered_from_all_of_them(session, admin):
    order = new_order(session)
    comes_in(session, "UKPART0001", 50_000, order.number)
    comes_in(session, "UKPART0002", 30_000, order.number)
    assert expire_order(session, order.id, after(hours=2)) is True
    file = read_exception(session, admin, the_task(session, TaskKind.LATE_MONEY).id, LATER)

    assert [(offer.receipt, offer.amount_cents) for offer in file.offers] == [
        ("UKPART0002", 30_000),
        ("UKPART0001", 50_000),
    ]


def test_late_money_without_a_receipt_gets_one_and_stays_owed(session, admin):
    order = new_order(session)
    payment = ask_to_pay(session, order)
    cancel_order(session, actor_of_buyer(session, order), order.id, NOW)
    settle_payment(session, payment.id, QUERIED_PAID, NOW)
    task = the_task(session, TaskKind.LATE_MONEY)
    assert read_exception(session, admin, task.id, LATER).actions == (Action.RECEIPT, Action.NOTE)

    give_receipt(session, admin, task.id, PaidWord("UKPERSON01", WHY), LATER)
    session.refresh(payment)
    assert (payment.mpesa_receipt, payment.amount_verified) == ("UKPERSON01", True)
    assert (status_of(session, task), decisions(session, task)) == (
        "todo",
        [(admin.user_id, "receipt", f"Receipt UKPERSON01. {WHY}")],
    )
    assert Action.REFUND in read_exception(session, admin, task.id, LATER).actions
    assert is_clean(session, LATER)


# nobody but a person says how it ended


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


# doubts


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


# what the books say differently


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


# what customers say


def claim_of(session, task) -> PaymentClaim:
    mine = select(PaymentClaim).where(PaymentClaim.receipt == task.receipt)
    return session.scalars(mine.execution_options(populate_existing=True)).one()


def test_a_claim_that_the_statement_bears_out_pays_the_order(session, admin):
    task = claimed(session)
    with refused(session, InvalidInput, "invalid_input"):
        say_paid(session, admin, task.id, PaidWord("UKCLAIM001", WHY), LATER)
    say_paid(session, admin, task.id, PaidWord("UKCLAIM001", WHY, 150_000), LATER)

    assert order_of(session, task).status == "paid"
    assert claim_of(session, task).state == "accepted"
    assert is_decided(session, task, admin, "paid")


def test_a_claim_to_money_that_waits_for_its_order_is_that_money(session, admin):
    task = claimed(session)
    unmatched(session, receipt="UKCLAIM001")
    say_paid(session, admin, task.id, PaidWord("UKCLAIM001", WHY), LATER)

    assert register(session, "UKCLAIM001")[0] == "matched"
    assert order_of(session, task).status == "paid"
    assert is_decided(session, task, admin, "paid")


def test_a_claim_to_anothers_money_gets_none(session, admin):
    other = ask_to_pay(session, new_order(session))
    pay(session, other)
    task = claimed(session, receipt=receipt_of(other.id))
    with refused(session, Conflict, "receipt_taken"):
        say_paid(session, admin, task.id, PaidWord(receipt_of(other.id), WHY), LATER)
    say_not_paid(session, admin, task.id, WHY, LATER)

    order = order_of(session, task)
    claim = claim_of(session, task)
    assert (claim.state, order.status) == ("refused", "pending")
    assert told(session, order.user_id) == ["claim_refused"]
    assert WHY not in claim.message
    assert is_decided(session, task, admin, "not_paid")


# refunds, messages, invariants


@pytest.mark.parametrize(
    ("kind", "state", "then"),
    [
        (TaskKind.REFUND_APPROVAL, "awaiting_approval", "rejected"),
        (TaskKind.UNKNOWN_REFUND, "unknown", "failed"),
    ],
)
def test_a_refund_that_is_open_is_not_dismissed(session, admin, kind, state, then):
    task = refunding(session, kind, state)
    with refused(session, Conflict, "needs_a_decision"):
        dismiss(session, admin, task.id, WHY, LATER)
    session.get_one(Refund, task.refund_id).state = then
    session.flush()
    dismiss(session, admin, task.id, WHY, LATER)
    assert is_decided(session, task, admin, "dismiss")


def test_a_refund_that_failed_is_dismissed_only_where_nothing_is_owed(session, admin):
    task = late(session)
    payment = payment_of(session, task)
    refund = refund_of(session, payment, "failed")
    failed = filed(session, TaskKind.REFUND_FAILED, payment=payment, refund_id=refund.id)
    with refused(session, Conflict, "money_still_owed"):
        dismiss(session, admin, failed.id, WHY, LATER)
    goodwill = refunding(session, TaskKind.REFUND_FAILED, "failed")
    assert goodwill.id == failed.id, "the same matter is filed once"


def test_a_stuck_message_is_tried_again_and_ends_its_task_when_it_is_read(session, admin):
    task = stuck(session)
    message_id = retry_message(session, admin, task.id, LATER)
    message = session.get_one(InboxMessage, message_id)
    assert (message.attempts, status_of(session, task)) == (0, "todo")
    assert decisions(session, task) == [(admin.user_id, "retry", "It is tried once more.")]

    finish_message(claim_message(session, message_id), "unmatched", LATER)
    note_unstuck(session, message, LATER)
    assert decisions(session, task)[1:] == [(None, "processed", "It was read: unmatched.")]
    with refused(session, Conflict, "already_decided"):
        retry_message(session, admin, task.id, LATER)
    assert is_clean(session, LATER)


def test_a_message_that_nobody_needs_is_tried_no_more(session, admin):
    task = stuck(session)
    dismiss(session, admin, task.id, WHY, LATER)
    message = session.scalars(select(InboxMessage)).one()
    assert (message.outcome, message.processed_at, message.body) == ("dismissed", LATER, b"{}")
    assert is_decided(session, task, admin, "dismiss")


# what holds for every kind


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_note_changes_nothing_and_only_an_admin_writes_it(session, admin, name):
    task = EVERY_KIND[name](session)
    seller = actor_of(make_user(session, Role.SELLER))
    before = snapshot(session)
    write_note(session, admin, task.id, "I called her.", LATER)
    changed = {table for table, rows in snapshot(session).items() if rows != before[table]}
    assert changed == {"decisions"}
    assert decisions(session, task) == [(admin.user_id, "note", "I called her.")]
    assert read_exception(session, admin, task.id, LATER).decisions[0].actor_name == "mkuu"
    with refused(session, Forbidden, "forbidden"):
        write_note(session, seller, task.id, "x", LATER)
    with refused(session, Forbidden, "forbidden"):
        read_exception(session, seller, task.id, LATER)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_what_does_not_apply_is_refused_and_changes_nothing(session, admin, name):
    task = EVERY_KIND[name](session)
    order = new_order(session)
    allowed = read_exception(session, admin, task.id, LATER).actions
    tries = {
        Action.ATTACH: lambda: attach(session, admin, task, order),
        Action.PAID: lambda: say_paid(
            session, admin, task.id, PaidWord("UKPERSON01", WHY, 100), LATER
        ),
        Action.NOT_PAID: lambda: say_not_paid(session, admin, task.id, WHY, LATER),
        Action.RECEIPT: lambda: give_receipt(
            session, admin, task.id, PaidWord("UKPERSON01", WHY), LATER
        ),
        Action.IS_THERE: lambda: say_it_is_there(session, admin, task.id, WHY, LATER),
        Action.NOT_THERE: lambda: say_it_is_not_there(session, admin, task.id, WHY, LATER),
        Action.CORRECT: lambda: give_right_amount(session, admin, task.id, 100, WHY, LATER),
        Action.RETRY: lambda: retry_message(session, admin, task.id, LATER),
        Action.DISMISS: lambda: dismiss(session, admin, task.id, WHY, LATER),
        Action.NOTE: lambda: write_note(session, admin, task.id, "x", LATER),
    }
    for action, run in tries.items():
        if action in allowed:
            with thrown_away(session):
                run()
                assert is_clean(session, LATER), action
        else:
            before = snapshot(session)
            with pytest.raises(Conflict), session.begin_nested():
                run()
            assert snapshot(session) == before, action
    session.execute(update(Task).where(Task.id == task.id).values(status="done"))
    for action, run in tries.items():
        before = snapshot(session)
        with pytest.raises(Conflict) as caught, session.begin_nested():
            run()
        assert (caught.value.code, snapshot(session) == before) == ("already_decided", True), action


def test_what_is_no_matter_of_money_is_not_here(session, admin):
    for kind in (TaskKind.MANUAL, TaskKind.MPESA_CONFIGURATION):
        task = filed(session, kind)
        with refused(session, NotFound, "exception_not_found"):
            read_exception(session, admin, task.id, LATER)
        with refused(session, NotFound, "exception_not_found"):
            dismiss(session, admin, task.id, WHY, LATER)
