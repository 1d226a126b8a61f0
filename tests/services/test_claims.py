""" "I have paid": a receipt that a buyer names is used for their order, or a person decides."""

from hashlib import sha256

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, NotFound
from app.models import (
    LedgerEntry,
    MpesaReceipt,
    Notification,
    Order,
    Payment,
    PaymentClaim,
    ReceiptState,
    Task,
    TaskStatus,
)
from app.policies import Role
from app.services.claims import (
    ClaimRequest,
    StatusFacts,
    claim_payment,
    claims_of,
    find_claims_to_look_at,
    list_claims,
    look_at_claim,
    note_no_facts,
    note_question_refused,
    weigh_absence,
    weigh_status,
)
from app.services.end_order import cancel_order, expire_order
from app.services.move_order import lock_order
from app.services.pages import PageRequest
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.records import record_decision
from app.services.unmatched_money import attach_money, dismiss_money
from tests.core import (
    SECRET,
    after,
    ask_to_pay,
    buy,
    is_clean,
    make_buyer,
    pay,
    receipt_of,
    refused,
    snapshot,
    task_kinds,
)
from tests.factories import NOW, actor_of, make_product, make_user

PHONE = "254700000001"
MASKED = "2547 ***** 001"
OTHER_MASKED = "2547 ***** 777"
RECEIPT = "UKM9000001"
SHORTCODES = {"174379"}


@pytest.fixture
def buyer(session):
    return make_buyer(session, phone_number=PHONE, username="wanjiku")


@pytest.fixture
def boots(session):
    return make_product(session, stock=9)


@pytest.fixture
def order(session, buyer, boots):
    """KES 1,500."""
    return buy(session, buyer, (boots, 1))


def money(session, **facts) -> MpesaReceipt:
    """Money that came with an account number of nobody's."""
    told = {
        "receipt": RECEIPT,
        "amount_cents": 150_000,
        "source": "c2b",
        "bill_reference": "SHOES",
        "transacted_at": NOW,
        "payer_phone": MASKED,
        "payer_name": "WANJIKU",
        **facts,
    }
    receive_money(session, ReceiptFacts(**told), NOW)
    return session.get_one(MpesaReceipt, told["receipt"])


def claim(session, buyer, order, receipt=RECEIPT, *, can_ask=True, now=NOW) -> PaymentClaim:
    return claim_payment(session, actor_of(buyer), ClaimRequest(order.id, receipt, can_ask), now)


def said(**changes) -> StatusFacts:
    """What M-Pesa's books say of an honest claim."""
    return StatusFacts(
        **{
            "receipt": RECEIPT,
            "is_completed": True,
            "is_failed": False,
            "is_reversed": False,
            "amount_cents": 150_000,
            "payer_phone": PHONE,
            "payer_name": "WANJIKU",
            "credited_number": "174379",
            "transacted_at": NOW,
            **changes,
        }
    )


def weigh(session, one, *, now=NOW, **changes) -> str:
    return weigh_status(session, one, said(**changes), SHORTCODES, now)


def status(session, order) -> str:
    session.expire(order)
    return session.scalar(select(Order.status).where(Order.id == order.id))


def descriptions(session) -> str:
    kinds = Task.kind == "payment_claim"
    return " ".join(session.scalars(select(Task.description).where(kinds)))


def told(session, user) -> list[str]:
    mine = Notification.user_id == user.id
    return list(session.scalars(select(Notification.kind).where(mine).order_by(Notification.id)))


def state_of(session) -> str:
    return session.get_one(MpesaReceipt, RECEIPT).state


def test_money_of_ones_own_phone_is_used_at_once(session, buyer, order):
    money(session)
    one = claim(session, buyer, order)

    assert (one.state, one.message) == ("accepted", "We found your payment. Thank you.")
    assert one.next_check_at is None
    assert status(session, order) == "paid"
    assert state_of(session) == "matched"
    assert session.scalars(select(Task.status)).all() == ["done"]
    assert is_clean(session)


@pytest.mark.parametrize("shown", [PHONE, "0700000001", MASKED, sha256(PHONE.encode()).hexdigest()])
def test_a_phone_fits_in_each_of_its_shapes(session, buyer, order, shown):
    money(session, payer_phone=shown)
    assert claim(session, buyer, order).state == "accepted"


def test_a_part_of_what_is_due_is_used_too(session, buyer, order):
    money(session, amount_cents=50_000)
    assert claim(session, buyer, order).state == "accepted"
    assert status(session, order) == "pending"
    assert is_clean(session)


@pytest.mark.parametrize("end", ["expired", "cancelled", "paid"])
def test_money_for_an_order_that_is_over(session, buyer, order, end):
    """What has expired is bought if it is still there; of anything else a person decides."""
    if end == "expired":
        assert expire_order(session, order.id, after(hours=1))
    elif end == "cancelled":
        cancel_order(session, actor_of(buyer), order.id, NOW)
    else:
        pay(session, ask_to_pay(session, order))
    money(session)
    one = claim(session, buyer, order)

    assert one.state == ("accepted" if end == "expired" else "with_a_person")
    assert status(session, order) == ("paid" if end == "expired" else end)
    assert is_clean(session)


@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("another phone", {"payer_phone": OTHER_MASKED}),
        ("a phone that says nothing", {"payer_phone": "2********"}),
        ("no phone", {"payer_phone": None}),
        ("too much", {"amount_cents": 150_100}),
    ],
)
def test_in_any_doubt_a_person_decides_with_all_that_is_known(session, buyer, order, why, facts):
    money(session, **facts)
    one = claim(session, buyer, order)

    assert one.state == "with_a_person", why
    assert one.message.startswith("A person at the shop is looking for this payment")
    assert (status(session, order), state_of(session)) == ("pending", "unmatched")
    assert task_kinds(session) == ["unmatched_money", "payment_claim"]
    task = session.scalars(select(Task).where(Task.kind == "payment_claim")).one()
    assert (task.order_id, task.receipt, task.priority) == (order.id, RECEIPT, "high")
    for known in ("wanjiku", order.number, RECEIPT, "2547****001", "'SHOES'", "unmatched"):
        assert known in task.title + task.description, known
    assert PHONE not in task.description
    assert is_clean(session)


def test_a_whole_number_is_not_shown_in_the_task(session, buyer, order):
    money(session, payer_phone="254711222333")
    claim(session, buyer, order)
    assert "254711222333" not in descriptions(session)
    assert "2547****333" in descriptions(session)


def test_a_strangers_money_is_not_to_be_had_by_typing_the_strangers_phone(
    session, buyer, boots, order
):
    """The thief has seen the message, knows the number and puts it everywhere one can."""
    thief = make_buyer(session, phone_number=None)
    theft = buy(session, thief, (boots, 1), phone_number=PHONE)
    money(session)
    one = claim(session, thief, theft)

    assert one.state == "with_a_person"
    assert status(session, theft) == "pending"
    assert "The payer's phone was not known as the buyer's" in descriptions(session)
    assert is_clean(session)


@pytest.mark.parametrize("named_in", ["account", "order", "prompt"])
@pytest.mark.parametrize("minutes", [1, 5])
def test_a_phone_that_was_named_only_after_the_money_had_come_proves_nothing(
    session, boots, named_in, minutes
):
    """The shop has never seen the victim: nobody else is known by the number either."""
    later = after(minutes=minutes)
    money(session)
    thief = make_buyer(
        session, phone_number=PHONE if named_in == "account" else None, updated_at=later
    )
    phone = PHONE if named_in == "order" else None
    theft = buy(session, thief, (boots, 1), now=later, phone_number=phone)
    if named_in == "prompt":
        ask_to_pay(session, theft, later, msisdn=PHONE, pushed=False).status = "failed"
    one = claim(session, thief, theft, now=later)

    is_too_late = minutes == 5  # the clocks may be two minutes apart
    assert one.state == ("with_a_person" if is_too_late else "accepted")
    assert status(session, theft) == ("pending" if is_too_late else "paid")


def test_money_without_a_moment_is_for_a_person(session, buyer, order):
    money(session, transacted_at=None)
    assert claim(session, buyer, order).state == "with_a_person"


@pytest.mark.parametrize("known_by", ["account", "order", "prompt"])
def test_a_phone_that_another_customer_is_known_by_proves_nothing(session, boots, known_by):
    owner = make_buyer(session, phone_number=PHONE if known_by == "account" else None)
    earlier = buy(
        session, owner, (boots, 1), phone_number=PHONE if known_by == "order" else "254711000009"
    )
    if known_by == "prompt":
        ask_to_pay(session, earlier, msisdn=PHONE)
        session.scalars(select(Payment)).one().status = "failed"
    thief = make_buyer(session, phone_number=None)
    theft = buy(session, thief, (boots, 1), phone_number=PHONE)
    money(session)

    assert claim(session, thief, theft).state == "with_a_person"
    assert status(session, theft) == "pending"


def test_money_that_another_customers_order_seems_to_wait_for_is_for_a_person(
    session, buyer, boots, order
):
    """It was typed with one slip, and the number that was meant is somebody else's."""
    other = buy(session, make_buyer(session), (boots, 1))
    slip = other.number[:2] + ("A" if other.number[2] != "A" else "B") + other.number[3:]
    money(session, bill_reference=slip)
    assert claim(session, buyer, order).state == "with_a_person"
    assert f"meant for {other.number}" in descriptions(session)
    assert is_clean(session)


def test_money_that_answers_a_prompt_buys_no_other_order(session, buyer, boots, order):
    """The prompt's query may say paid without a receipt: one payment would buy two orders."""
    second = buy(session, buyer, (boots, 1))
    prompt = ask_to_pay(session, second, msisdn=PHONE)
    one = claim(session, buyer, order)
    assert weigh(session, one) == "refused"

    assert (prompt.status, prompt.mpesa_receipt) == ("succeeded", RECEIPT)
    assert (status(session, order), status(session, second)) == ("pending", "paid")
    assert is_clean(session)


def test_money_that_may_answer_a_prompt_is_for_a_person(session, buyer, boots, order):
    """It named an account of nobody's, which a prompt never does."""
    second = buy(session, buyer, (boots, 1))
    ask_to_pay(session, second, msisdn=PHONE)
    money(session)
    assert claim(session, buyer, order).state == "with_a_person"
    assert "A prompt for another order" in descriptions(session)
    assert (status(session, order), status(session, second)) == ("pending", "pending")
    assert is_clean(session)


@pytest.mark.parametrize("is_theirs", [True, False])
def test_money_that_is_counted_is_refused_and_nobody_learns_for_whom(
    session, buyer, boots, order, is_theirs
):
    counted = order if is_theirs else buy(session, make_buyer(session), (boots, 1))
    prompt = ask_to_pay(session, counted)
    pay(session, prompt)
    with refused(session, Conflict, "receipt_counted") as caught:
        claim(session, buyer, order, receipt_of(prompt.id))
    sentence = {
        True: "This M-Pesa payment is counted for this order already.",
        False: "This M-Pesa payment is counted already. If that cannot be, tell the shop.",
    }
    assert caught.value.detail == sentence[is_theirs]
    assert caught.value.extra == {}


def test_money_that_was_sent_back_is_refused(session, buyer, order):
    money(session).state = ReceiptState.REFUNDED
    with refused(session, Conflict, "receipt_counted"):
        claim(session, buyer, order)


def test_money_that_a_person_dismissed_goes_to_a_person_again(session, buyer, order):
    admin = make_user(session, Role.ADMIN)
    dismiss_money(session, money(session), "rent", NOW, actor_id=admin.id)
    assert claim(session, buyer, order).state == "with_a_person"
    assert "A person dismissed this money before." in descriptions(session)


def test_money_that_a_person_wrote_off_is_looked_for_anew(session, buyer, boots, order):
    """It was counted for an order and was not there; M-Pesa may know better by now."""
    other = buy(session, make_buyer(session), (boots, 1))
    money(session, bill_reference=other.number)
    payment = session.scalars(select(Payment)).one()
    session.get_one(MpesaReceipt, RECEIPT).state = ReceiptState.WRITTEN_OFF
    payment.status, payment.mpesa_receipt = "failed", None
    session.flush()

    one = claim(session, buyer, order)
    assert (one.state, find_claims_to_look_at(session, NOW)) == ("open", [one.id])
    assert look_at_claim(session, one.id, SECRET, NOW) is not None
    assert find_claims_to_look_at(session, NOW) == []
    assert weigh(session, one) == "accepted"
    assert status(session, order) == "paid"


def test_only_the_buyer_claims_and_a_stranger_learns_nothing(session, buyer, order, boots):
    money(session)
    stranger = make_buyer(session)
    with refused(session, NotFound, "order_not_found"):
        claim(session, stranger, order)
    seller = session.get_one(type(stranger), boots.seller_id)
    for other in (seller, make_user(session, Role.ADMIN)):
        with refused(session, Forbidden, "forbidden"):
            claim(session, other, order)


def test_what_nobody_knows_is_asked_about_or_given_to_a_person(session, buyer, order):
    one = claim(session, buyer, order)
    assert (one.state, one.message) == ("open", "We are asking M-Pesa about this payment.")
    assert one.next_check_at == NOW
    assert task_kinds(session) == []

    two = claim(session, buyer, order, "UKM9000002", can_ask=False)
    assert (two.state, two.next_check_at) == ("with_a_person", None)
    assert task_kinds(session) == ["payment_claim"]
    assert "No road has told us of this receipt yet." in descriptions(session)


def test_the_same_claim_again_is_the_one_that_is_under_way(session, buyer, order):
    one = claim(session, buyer, order)
    before = snapshot(session)
    assert claim(session, buyer, order).id == one.id
    assert snapshot(session) == before


def test_of_two_customers_who_name_one_receipt_the_second_is_told_and_a_person_compares(
    session, buyer, boots, order
):
    one = claim(session, buyer, order)
    other = make_buyer(session)
    theirs = buy(session, other, (boots, 1))
    two = claim(session, other, theirs)

    assert (one.state, two.state) == ("open", "refused")
    assert two.message.startswith("Another customer has named this payment too.")
    assert "wanjiku" not in two.message
    assert task_kinds(session) == ["payment_claim"]
    assert claim(session, other, theirs).id == two.id
    assert task_kinds(session) == ["payment_claim"]


def test_a_stranger_who_names_a_receipt_first_keeps_it_from_nobody(session, buyer, boots, order):
    stranger = make_buyer(session)
    theirs = buy(session, stranger, (boots, 1))
    one = claim(session, stranger, theirs)
    assert claim(session, buyer, order).state == "refused"
    assert weigh(session, one) == "with_a_person"  # the payer's phone is not the stranger's

    two = claim(session, buyer, order)
    assert (two.state, two.message) == ("accepted", "We found your payment. Thank you.")
    assert (status(session, order), status(session, theirs)) == ("paid", "pending")
    look_at_claim(session, one.id, SECRET, NOW)
    assert one.state == "refused"
    undone = select(Task.kind).where(Task.status != TaskStatus.DONE)
    assert session.scalars(undone).all() == []
    assert is_clean(session)


def test_a_refused_receipt_may_be_named_again(session, buyer, order):
    one = claim(session, buyer, order)
    assert weigh_absence(session, one, NOW) == "refused"
    two = claim(session, buyer, order, now=after(minutes=5))
    assert (two.state, two.id > one.id) == ("open", True)


def test_money_that_mpesa_knows_as_the_buyers_pays_the_order(session, buyer, order):
    one = claim(session, buyer, order)
    assert weigh(session, one) == "accepted"

    assert status(session, order) == "paid"
    row = session.get_one(MpesaReceipt, RECEIPT)
    assert (row.source, row.state, row.payer_phone) == ("status", "matched", PHONE)
    assert task_kinds(session) == []
    assert told(session, buyer) == ["order_paid"]
    assert weigh(session, one) == "accepted"
    assert is_clean(session)


def test_what_mpesa_knows_answers_the_prompt_whose_news_were_lost(session, buyer, order):
    prompt = ask_to_pay(session, order, msisdn=PHONE)
    one = claim(session, buyer, order)
    assert weigh(session, one) == "accepted"

    assert (prompt.status, prompt.mpesa_receipt) == ("succeeded", RECEIPT)
    assert session.scalars(select(Payment.kind)).all() == ["stk_push"]
    assert is_clean(session)


@pytest.mark.parametrize("phone", ["254711000777", OTHER_MASKED, "", "2********"])
def test_real_money_of_another_phone_is_counted_and_stays_without_an_order(
    session, buyer, order, phone
):
    one = claim(session, buyer, order)
    assert weigh(session, one, payer_phone=phone) == "with_a_person"

    assert (status(session, order), state_of(session)) == ("pending", "unmatched")
    assert task_kinds(session) == ["unmatched_money", "payment_claim"]
    held = select(LedgerEntry.amount_cents).where(LedgerEntry.account == "unmatched")
    assert session.scalars(held).all() == [-150_000]
    assert is_clean(session)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"is_completed": False, "is_failed": True}, "was not completed"),
        ({"is_completed": False, "is_reversed": True}, "was sent back to you"),
        ({"credited_number": "600123"}, "went to another number"),
        ({"credited_number": "254711000777"}, "went to another number"),
    ],
)
def test_money_that_did_not_reach_us_is_refused_in_plain_words(
    session, buyer, order, answer, message
):
    one = claim(session, buyer, order)
    assert weigh(session, one, **answer) == "refused"

    assert message in one.message
    assert status(session, order) == "pending"
    assert session.scalars(select(MpesaReceipt)).all() == []
    assert told(session, buyer) == ["claim_refused"]
    assert task_kinds(session) == []
    assert is_clean(session)


@pytest.mark.parametrize(
    "gap",
    [
        {"receipt": None},
        {"receipt": "UKM9000009"},
        {"credited_number": ""},
        {"amount_cents": None},
    ],
)
def test_what_mpesa_leaves_open_is_for_a_person(session, buyer, order, gap):
    one = claim(session, buyer, order)
    assert weigh(session, one, **gap) == "with_a_person"
    assert session.scalars(select(MpesaReceipt)).all() == []
    assert task_kinds(session) == ["payment_claim"]


def test_what_is_still_under_way_at_mpesa_is_asked_about_again(session, buyer, order):
    one = claim(session, buyer, order)
    assert weigh(session, one, is_completed=False) == "open"
    assert one.next_check_at == NOW


def test_money_that_a_confirmation_brought_meanwhile_is_not_counted_again(session, buyer, order):
    one = claim(session, buyer, order)
    money(session, bill_reference=order.number)
    assert weigh(session, one) == "accepted"
    assert status(session, order) == "paid"
    held = select(LedgerEntry.amount_cents).where(LedgerEntry.account == "mpesa")
    assert session.scalars(held).all() == [150_000]
    assert is_clean(session)


def test_money_that_was_counted_for_another_order_meanwhile_is_refused(
    session, buyer, boots, order
):
    one = claim(session, buyer, order)
    other = buy(session, make_buyer(session), (boots, 1))
    money(session, bill_reference=other.number)
    assert weigh(session, one) == "refused"
    assert (
        one.message == "This M-Pesa payment is counted already. If that cannot be, tell the shop."
    )
    assert (status(session, order), status(session, other)) == ("pending", "paid")
    assert is_clean(session)


def test_an_amount_that_differs_from_what_was_counted_is_for_a_person(session, buyer, order):
    one = claim(session, buyer, order)
    money(session, amount_cents=140_000, payer_phone=None)
    assert weigh(session, one) == "with_a_person"
    assert task_kinds(session) == ["unmatched_money", "statement_difference", "payment_claim"]
    assert status(session, order) == "pending"
    assert is_clean(session)


def test_what_mpesa_does_not_know_and_another_road_does_is_left_to_the_register(
    session, buyer, order
):
    one = claim(session, buyer, order)
    money(session)
    assert weigh_absence(session, one, NOW) == "open"
    look_at_claim(session, one.id, SECRET, NOW)
    assert one.state == "accepted"
    assert is_clean(session)


def test_an_answer_that_cannot_be_read_is_for_a_person(session, buyer, order):
    one = claim(session, buyer, order)
    assert note_no_facts(session, one, "no state of a transaction", NOW) == "with_a_person"
    assert "could not be read (no state of a transaction)" in descriptions(session)


def test_questions_are_put_less_and_less_often_and_end_after_a_day(session, buyer, order):
    one = claim(session, buyer, order)
    asked, now = [], NOW
    while one.state == "open":
        question = look_at_claim(session, one.id, SECRET, now)
        if question is not None:
            assert (question.kind, question.claim_id, question.receipt) == (
                "status",
                one.id,
                RECEIPT,
            )
            asked.append(int((now - NOW).total_seconds()))
            assert look_at_claim(session, one.id, SECRET, now) is None
            now = one.next_check_at
    assert asked == [0, 60, 300, 1800, 7200, 21_600, 43_200]
    assert now == after(days=1)
    assert one.state == "with_a_person"
    assert "M-Pesa was asked for a day" in descriptions(session)


def test_only_what_has_news_is_looked_at(session, buyer, order):
    one = claim(session, buyer, order)
    look_at_claim(session, one.id, SECRET, NOW)
    assert find_claims_to_look_at(session, NOW) == []
    assert find_claims_to_look_at(session, after(seconds=60)) == [one.id]

    money(session, payer_phone=OTHER_MASKED)
    assert find_claims_to_look_at(session, NOW) == [one.id]
    assert look_at_claim(session, one.id, SECRET, NOW) is None
    assert one.state == "with_a_person"
    assert find_claims_to_look_at(session, after(days=30)) == []


def test_a_claim_ends_when_a_person_finds_out_whose_the_money_is(session, buyer, boots, order):
    admin = make_user(session, Role.ADMIN)
    other = buy(session, make_buyer(session), (boots, 1))
    for chosen, state in ((order, "accepted"), (other, "refused")):
        point = session.begin_nested()
        row = money(session, payer_phone=OTHER_MASKED)
        one = claim(session, buyer, order)
        attach_money(session, row, lock_order(session, chosen.id), NOW, actor_id=admin.id)
        assert find_claims_to_look_at(session, NOW) == [one.id]
        assert look_at_claim(session, one.id, SECRET, NOW) is None
        assert one.state == state
        undone = select(Task.kind).where(Task.status != TaskStatus.DONE)
        assert session.scalars(undone).all() == []
        assert is_clean(session)
        point.rollback()
        session.expire_all()


@pytest.mark.parametrize("how", ["the task is closed", "the money is dismissed"])
def test_a_claim_ends_when_a_person_finds_nothing(session, buyer, order, how):
    admin = make_user(session, Role.ADMIN)
    row = money(session, payer_phone=OTHER_MASKED)
    one = claim(session, buyer, order)
    if how == "the task is closed":
        task = session.scalars(select(Task).where(Task.kind == "payment_claim")).one()
        task.status = TaskStatus.DONE
        record_decision(session, task.id, "closed", "not theirs", NOW, actor_id=admin.id)
    else:
        dismiss_money(session, find_receipt(session, row.receipt), "rent", NOW, actor_id=admin.id)
    session.flush()
    assert find_claims_to_look_at(session, NOW) == [one.id]
    look_at_claim(session, one.id, SECRET, NOW)

    assert (one.state, one.message[:29]) == ("refused", "A person at the shop looked f")
    assert told(session, buyer)[-1] == "claim_refused"
    assert find_claims_to_look_at(session, NOW) == []


def test_a_question_that_our_settings_do_not_let_us_ask_is_for_a_person(session, buyer, order):
    one = claim(session, buyer, order)
    note_question_refused(session, one.id, "the initiator is locked", NOW)
    assert one.state == "with_a_person"
    assert "the initiator is locked" in descriptions(session)
    before = snapshot(session)
    note_question_refused(session, one.id, "again", NOW)
    assert snapshot(session) == before


def test_a_decided_claim_is_left_alone(session, buyer, order):
    one = claim(session, buyer, order)
    weigh_absence(session, one, NOW)
    before = snapshot(session)
    assert look_at_claim(session, one.id, SECRET, after(days=2)) is None
    assert weigh(session, one) == "refused"
    assert note_no_facts(session, one, "?", NOW) == "refused"
    assert snapshot(session) == before


def test_claims_are_read_by_their_buyer_and_by_admins(session, buyer, order, boots):
    one = claim(session, buyer, order)
    two = claim(session, buyer, order, "UKM9000002")
    page = PageRequest(limit=10)
    for reader in (buyer, make_user(session, Role.ADMIN)):
        found = list_claims(session, actor_of(reader), order.id, page)
        assert [row.id for row in found.rows] == [two.id, one.id]
    assert [row.id for row in claims_of(session, order.id)] == [two.id, one.id]
    seller = session.get_one(type(buyer), boots.seller_id)
    for other in (make_buyer(session), seller):
        with refused(session, NotFound, "order_not_found"):
            list_claims(session, actor_of(other), order.id, page)
