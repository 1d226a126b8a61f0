"""Each matter of money from how it comes about to its decision; the books are clean after it."""

import pytest
from sqlalchemy import select, update

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import (
    Account,
    InboxMessage,
    LedgerEvent,
    Notification,
    Order,
    PaymentClaim,
    Product,
    Refund,
    Task,
    TaskKind,
)
from app.policies import Role
from app.services.change_tasks import TaskChange, change_task
from app.services.claims import LOOKED_FOR
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
from app.services.hold_for_review import COUNTED_APART
from app.services.inbox import claim_message, finish_message, note_unstuck
from app.services.ledger import balances_of
from app.services.refund_money import give_money_back
from app.services.settle_payment import settle_payment
from tests.core import (
    after,
    ask_to_pay,
    is_clean,
    pay,
    receipt_of,
    refused,
    snapshot,
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
    status_of,
    told,
)
from tests.factories import NOW, actor_of, make_user
from tests.matters import (
    EVERY_KIND,
    actor_of_buyer,
    claimed,
    comes_in,
    doubled,
    filed,
    given_up,
    late,
    new_order,
    order_of,
    over,
    payment_of,
    refund_of,
    refunding,
    stuck,
    the_task,
    unmatched,
)


@pytest.fixture
def admin(session):
    return actor_of(make_user(session, Role.ADMIN, username="mkuu"))


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
    if case == "called paid":
        settle_payment(session, ask_to_pay(session, order).id, QUERIED_PAID, NOW)
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
    ("called paid", 150_000, Effect.JOINS, 0, 0, "paid"),
    ("called paid", 150_100, Effect.OWED_BACK, 150_100, 0, "paid"),
]


@pytest.mark.parametrize(("case", "cents", "effect", "excess", "lacking", "status"), EFFECTS)
def test_an_admin_is_told_beforehand_what_the_money_will_do(
    session, admin, case, cents, effect, excess, lacking, status
):
    order = ended(session, case)
    hidden = {"payer_phone": None} if case == "called paid" else {}
    task = unmatched(session, cents=cents, **hidden)
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
    mine = select(Notification.title, Notification.body).where(
        Notification.user_id == order.user_id
    )
    assert [tuple(row) for row in session.execute(mine)] == [
        (f"We did not find your payment for order {order.number}", LOOKED_FOR)
    ]
    assert claim.message == LOOKED_FOR
    assert is_decided(session, task, admin, "not_paid")


def test_a_second_claim_to_one_receipt_may_be_the_right_one(session, admin):
    task = claimed(session)
    claim = claim_of(session, task)
    claim.state = "refused"  # by itself, until a person has compared it with the first
    session.flush()
    with thrown_away(session):
        say_not_paid(session, admin, task.id, WHY, LATER)
        assert told(session, claim.user_id) == [], "which the customer had been told"
        assert is_decided(session, task, admin, "not_paid")
    say_paid(session, admin, task.id, PaidWord("UKCLAIM001", WHY, 150_000), LATER)
    assert claim_of(session, task).state == "accepted"
    assert is_decided(session, task, admin, "paid")


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
