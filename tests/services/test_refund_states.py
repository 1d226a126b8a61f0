"""Every state of a refund, and whatever may happen to it there: it moves as it may, or stays."""

import pytest
from sqlalchemy import select

from app.errors import AppError, Conflict
from app.models import (
    Account,
    Decision,
    MpesaReceipt,
    MpesaRequest,
    Notification,
    Payment,
    Refund,
    RefundKind,
    RefundState,
    RequestState,
    Task,
)
from app.services.ledger import balances_of
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.refunds import (
    BookedFacts,
    BookedState,
    apply_refund_result,
    approve_refund,
    begin_sending,
    record_by_hand,
    record_not_gone,
    record_sent,
    reject_refund,
    resolve_unknown,
)
from app.services.refunds.move_refund import ALLOWED_MOVES, Step, hold_refund, move_refund
from app.utils.callback_secret import CallbackSecret
from tests.core import (
    after,
    books,
    buy,
    counts,
    is_clean,
    moves,
    refused,
    snapshot,
    thrown_away,
)
from tests.factories import NOW, actor_of
from tests.refunding import (
    PAID,
    RULES,
    ask_refund,
    begin,
    bring_to,
    did_not_go,
    hear,
    make_sale,
    nobody_knows,
    open_tasks,
    refund_whole,
    send,
    steps,
    stray_money,
    went,
)

LATER = after(hours=1)


@pytest.fixture
def sale(session):
    return make_sale(session)


def approve(session, sale, refund):
    approve_refund(session, actor_of(sale.other_admin), refund.id, RULES, LATER)


def reject(session, sale, refund):
    reject_refund(session, actor_of(sale.other_admin), refund.id, "No", LATER)


def note(session, sale, refund):
    record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R09", LATER)


def deny(session, sale, refund):
    record_not_gone(session, actor_of(sale.admin), refund.id, "Not on the statement", LATER)


def sent(state: RequestState):
    def act(session, sale, refund):
        record_sent(session, refund.id, state, "so", LATER, next_check_at=after(hours=2))

    return act


def told(news):
    def act(session, sale, refund):
        apply_refund_result(session, refund.id, news, LATER)

    return act


EVENTS = {
    "approved": approve,
    "rejected": reject,
    "receipt noted": note,
    "said not to have gone": deny,
    "acknowledged": sent(RequestState.SENT),
    "refused": sent(RequestState.REFUSED),
    "unanswered": sent(RequestState.UNKNOWN),
    "went": told(went()),
    "did not go": told(did_not_go()),
    "nobody knows": told(nobody_knows()),
}
MOVES = {
    ("awaiting_approval", "approved"): "created",
    ("awaiting_approval", "rejected"): "rejected",
    ("created", "acknowledged"): "pending",
    ("created", "refused"): "failed",
    ("created", "unanswered"): "unknown",
    ("created", "went"): "succeeded",
    ("created", "did not go"): "failed",
    ("created", "nobody knows"): "unknown",
    ("pending", "went"): "succeeded",
    ("pending", "did not go"): "failed",
    ("pending", "nobody knows"): "unknown",
    ("unknown", "receipt noted"): "succeeded",
    ("unknown", "said not to have gone"): "failed",
    ("unknown", "acknowledged"): "pending",
    ("unknown", "refused"): "failed",
    ("unknown", "went"): "succeeded",
    ("unknown", "did not go"): "failed",
    ("failed", "receipt noted"): "succeeded",
    ("failed", "went"): "succeeded",
}
"""All that moves a refund; whatever is not here leaves it where it is."""

REFUSALS = {
    "approved": "refund_not_awaiting_approval",
    "rejected": "refund_not_rejectable",
    "receipt noted": "refund_not_recordable",
    "said not to have gone": "refund_not_unknown",
}


@pytest.mark.parametrize("state", RefundState)
def test_every_event_in_every_state_moves_a_refund_as_it_may_or_not_at_all(session, sale, state):
    refund = bring_to(session, sale, state)
    for name, act in EVENTS.items():
        expected = MOVES.get((state, name), state)
        with thrown_away(session):
            before = snapshot(session)
            try:
                act(session, sale, refund)
            except AppError as refusal:
                assert refusal.code == REFUSALS[name], name
                assert snapshot(session) == before, name
            except RuntimeError as bug:
                assert "was never sent" in str(bug), name
                assert state in ("awaiting_approval", "rejected"), name
                assert snapshot(session) == before, name
            else:
                session.refresh(refund)
                assert refund.state == expected, name
                history = steps(session, refund)
                if expected != state:
                    assert history[-1][:2] == (state, expected), name
                booked = session.get_one(Payment, sale.payment.id).status == "refunded"
                assert booked is (expected == "succeeded"), name
                assert is_clean(session, LATER)
        session.refresh(refund)
        session.refresh(sale.payment)
        session.refresh(sale.order)


@pytest.mark.parametrize("state", RefundState)
def test_every_event_twice_is_as_once(session, sale, state):
    refund = bring_to(session, sale, state)
    for name, act in EVENTS.items():
        if (state, name) not in MOVES:
            continue
        with thrown_away(session):
            act(session, sale, refund)
            once = snapshot(session)
            try:
                act(session, sale, refund)
            except AppError as refusal:
                assert refusal.code == REFUSALS[name], name
            after_twice = snapshot(session)
            if name == "nobody knows":  # it is looked at again at once
                once["refunds"] = after_twice["refunds"]
            assert after_twice == once, name
        session.refresh(refund)
        session.refresh(sale.payment)
        session.refresh(sale.order)


def test_a_step_that_is_not_allowed_is_a_bug(session, sale):
    refund = bring_to(session, sale, "succeeded")
    for to in RefundState:
        if to not in ALLOWED_MOVES[RefundState.SUCCEEDED]:
            with pytest.raises(RuntimeError, match="never goes from succeeded"):
                move_refund(session, refund, to, Step("test"), NOW)


def test_a_refund_that_moved_under_our_hands_is_a_bug(session, sale):
    refund = bring_to(session, sale, "pending")
    session.expunge(refund)
    refund.state = "created"
    with pytest.raises(RuntimeError, match="moved under our lock"):
        move_refund(session, refund, RefundState.PENDING, Step("test"), NOW)


def test_a_refund_has_one_request_that_moves_money(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment)
    request = begin(session, refund)
    assert (request.kind, request.state, request.receipt, request.originator_id) == (
        "reversal",
        "created",
        sale.receipt,
        None,
    )
    assert refund.leased_until == after(seconds=60)
    for state in RequestState:
        request.state = state
        session.flush()
        before = snapshot(session)
        secret = CallbackSecret.new()
        assert begin_sending(session, refund.id, secret, LATER, lease_seconds=60) is None
        assert snapshot(session) == before


@pytest.mark.parametrize("state", ["awaiting_approval", "rejected"])
def test_what_waits_for_approval_is_not_sent(session, sale, state):
    refund = bring_to(session, sale, state)
    before = snapshot(session)
    assert begin_sending(session, refund.id, CallbackSecret.new(), NOW, lease_seconds=60) is None
    assert snapshot(session) == before


def test_what_is_done_by_hand_is_not_sent(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    assert begin_sending(session, refund.id, CallbackSecret.new(), NOW, lease_seconds=60) is None
    assert session.scalars(select(MpesaRequest)).all() == []


def test_a_payout_has_an_id_of_ours_that_no_other_has(session, sale):
    ids = set()
    for _ in range(3):
        refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.PAYOUT)
        request = send(session, refund)
        assert request.originator_id.startswith(f"refund-{refund.id}-")
        assert len(request.originator_id) <= 100
        ids.add(request.originator_id.rpartition("-")[2])
        hear(session, refund, did_not_go())
    assert len(ids) == 3


def test_a_success_is_booked_told_and_confirmed_a_minute_later(session, sale):
    refund = bring_to(session, sale, "pending")
    assert hear(session, refund, went("UKM0000R01"), LATER) == "refunded"

    assert (refund.state, refund.refund_receipt, refund.result_code, refund.finished_at) == (
        "succeeded",
        "UKM0000R01",
        "0",
        LATER,
    )
    assert refund.next_check_at == after(hours=1, minutes=1)
    assert (sale.payment.status, sale.order.status) == ("refunded", "refunded")
    assert books(session, sale.order)[-1] == ("refund", Account.MPESA, -PAID)
    assert counts(session, sale.boots) == (4, 0)
    told_last = session.scalars(select(Notification).order_by(Notification.id.desc())).first()
    assert (told_last.user_id, told_last.kind) == (sale.buyer.id, "refunded")
    assert is_clean(session, LATER)


def test_the_goods_come_back_once_where_the_admin_says_so(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, restock=True)
    send(session, refund)
    for _ in range(2):
        hear(session, refund, went())

    assert counts(session, sale.boots) == (5, 0)
    assert moves(session, sale.order)[-1] == ("restock", sale.boots.id, 1, 0)
    assert is_clean(session)


def test_a_receipt_that_comes_after_the_success_is_kept(session, sale):
    refund = bring_to(session, sale, "unknown")
    assert apply_refund_result(session, refund.id, went(None, source="status"), NOW) == "refunded"
    assert (refund.refund_receipt, refund.next_check_at) == (None, None)
    assert hear(session, refund, went("UKM0000R01"), LATER) == "already_refunded"

    assert refund.refund_receipt == "UKM0000R01"
    before = snapshot(session)
    assert apply_refund_result(session, refund.id, went(None), LATER) == "already_refunded"
    assert apply_refund_result(session, refund.id, went("UKM0000R01"), LATER) == "already_refunded"
    assert snapshot(session) == before


def test_a_second_receipt_is_for_a_person(session, sale):
    refund = bring_to(session, sale, "succeeded")
    for _ in range(2):
        assert hear(session, refund, went("UKM0000R02"), LATER) == "receipt_conflict"

    assert refund.refund_receipt == "UKM0000R01"
    assert open_tasks(session) == ["receipt_conflict"]
    assert is_clean(session, LATER)


@pytest.mark.parametrize("news", [went(amount_cents=PAID - 1), went(original_receipt="UKM0OTHER1")])
@pytest.mark.parametrize("state", ["created", "pending", "unknown", "failed"])
def test_a_success_about_other_money_moves_nothing_and_is_a_persons(session, sale, state, news):
    refund = bring_to(session, sale, state)
    for _ in range(2):
        assert apply_refund_result(session, refund.id, news, LATER) == "contradicted"

    assert refund.state == ("failed" if state == "failed" else "unknown")
    assert (refund.next_check_at, sale.payment.status) == (None, "succeeded")
    assert "unknown_refund" in open_tasks(session)
    assert is_clean(session, LATER)


def contradicted(session, sale) -> Refund:
    """It was reported as done, and M-Pesa's books do not have its receipt."""
    refund = bring_to(session, sale, "succeeded")
    facts = BookedFacts(
        BookedState.MISSING, "There is no such receipt.", "2032", LATER, refund.refund_receipt
    )
    assert resolve_unknown(session, refund.id, facts, LATER) == "contradicted"
    assert open_tasks(session) == ["unknown_refund"]
    return refund


@pytest.mark.parametrize(
    ("receipt", "action"), [("UKM0000R07", "given_again"), ("ukm0000r01", "found")]
)
def test_a_success_that_was_forged_is_made_good_by_hand(session, sale, receipt, action):
    """The books have the money as gone, and now it really is; or it was there after all."""
    refund = contradicted(session, sale)
    before = books(session, sale.order)
    record_by_hand(session, actor_of(sale.other_admin), refund.id, receipt, LATER)

    assert (refund.state, refund.refund_receipt) == ("succeeded", receipt.upper())
    assert books(session, sale.order) == before
    decision = session.scalars(select(Decision)).one()
    assert (decision.action, decision.actor_id) == (action, sale.other_admin.id)
    assert open_tasks(session) == []
    assert is_clean(session, LATER)
    with refused(session, Conflict, "refund_not_recordable"):
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R08", LATER)


def test_a_forged_success_is_not_made_good_by_another_refunds_receipt(session, sale):
    other = make_sale(session)
    refund_whole(session, other, "UKM0000R07")
    refund = contradicted(session, sale)
    with refused(session, Conflict, "refund_does_not_fit"):
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R07", LATER)


def test_another_part_that_goes_back_leaves_the_doubt_about_the_first(session, sale):
    first = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000)
    send(session, first)
    hear(session, first, went("UKM0000R01"), LATER)
    facts = BookedFacts(BookedState.MISSING, "None such.", "2032", LATER, "UKM0000R01")
    assert resolve_unknown(session, first.id, facts, LATER) == "contradicted"
    second = ask_refund(session, sale.admin, sale.payment, amount_cents=20_000)
    send(session, second)
    assert hear(session, second, went("UKM0000R02"), LATER) == "refunded"

    assert open_tasks(session) == ["unknown_refund"]


def test_a_failure_is_told_with_what_to_do(session, sale):
    refund = bring_to(session, sale, "pending")
    assert hear(session, refund, did_not_go("1"), LATER) == "failed"

    assert (refund.result_code, refund.result_desc) == ("1", "Our M-Pesa account holds too little.")
    assert (refund.next_check_at, refund.finished_at) == (None, LATER)
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.refund_id, task.order_id, task.receipt) == (
        "refund_failed",
        refund.id,
        sale.order.id,
        sale.receipt,
    )
    assert task.title == f"A refund of KES 1500 failed (receipt {sale.receipt})"
    assert task.description.startswith("Our M-Pesa account holds too little. Nothing went back.")
    assert is_clean(session, LATER)


def test_a_failure_that_our_settings_made_is_told_as_such(session, sale):
    refund = bring_to(session, sale, "pending")
    hear(session, refund, did_not_go("2001", our_fault=True), LATER)

    assert open_tasks(session) == ["mpesa_configuration", "refund_failed"]


def test_money_wins_over_a_failure_and_its_task_is_done(session, sale):
    refund = bring_to(session, sale, "failed")
    assert open_tasks(session) == ["refund_failed"]
    assert hear(session, refund, went(), LATER) == "refunded"

    assert (refund.state, sale.payment.status) == ("succeeded", "refunded")
    assert open_tasks(session) == []
    assert is_clean(session, LATER)


def test_money_that_went_back_twice_is_booked_once_and_told(session, sale):
    """The first was given up and the money given back by hand; then it had gone all the same."""
    first = bring_to(session, sale, "failed")
    second = ask_refund(session, sale.other_admin, sale.payment, method=RefundKind.BY_HAND)
    record_by_hand(session, actor_of(sale.admin), second.id, "UKM0000R09", NOW)
    before = books(session, sale.order)
    assert hear(session, first, went("UKM0000R01"), LATER) == "contradicted"

    assert (first.state, second.state) == ("failed", "succeeded")
    assert books(session, sale.order) == before
    task = session.scalars(select(Task).where(Task.kind == "unknown_refund")).one()
    assert "KES 1500 of the KES 1500" in task.description
    assert (task.status, is_clean(session, LATER)) == ("todo", True)


def test_a_receipt_that_stands_for_another_refund_is_for_a_person(session, sale):
    other = make_sale(session)
    refund_whole(session, other, "UKM0000R01")
    refund = bring_to(session, sale, "pending")
    assert hear(session, refund, went("UKM0000R01"), LATER) == "contradicted"

    assert (refund.state, sale.payment.status) == ("unknown", "succeeded")
    assert is_clean(session, LATER)


def test_what_nobody_knows_is_asked_about_at_once(session, sale):
    refund = bring_to(session, sale, "pending")
    assert hear(session, refund, nobody_knows("17"), LATER) == "unknown"

    assert (refund.state, refund.result_code, refund.result_desc) == (
        "unknown",
        "17",
        "M-Pesa failed inside.",
    )
    assert refund.next_check_at == LATER
    assert is_clean(session, LATER)


def test_a_payment_reversed_before_by_a_request_of_ours_is_done_quietly(session, sale):
    """The first was unknown, and a person said that it had not gone: it had."""
    first = bring_to(session, sale, "unknown")
    record_not_gone(session, actor_of(sale.admin), first.id, "Not seen", NOW)
    second = ask_refund(session, sale.admin, sale.payment)
    send(session, second)
    assert hear(session, second, nobody_knows("R000001")) == "unknown"
    assert apply_refund_result(session, second.id, went(None, source="status"), LATER) == "refunded"

    assert (second.state, open_tasks(session)) == ("succeeded", [])
    assert is_clean(session, LATER)


def test_a_payment_reversed_before_by_its_own_lost_request_is_done_quietly(session, sale):
    refund = bring_to(session, sale, "unknown")
    assert hear(session, refund, nobody_knows("R000001")) == "unknown"
    apply_refund_result(session, refund.id, went(None, source="status"), LATER)

    assert (refund.state, open_tasks(session)) == ("succeeded", [])


def test_a_payment_that_somebody_else_reversed_is_booked_and_a_person_finds_out_who(session, sale):
    refund = bring_to(session, sale, "pending")
    hear(session, refund, nobody_knows("R000001"))
    apply_refund_result(session, refund.id, went(None, source="status"), LATER)

    assert (refund.state, sale.payment.status) == ("succeeded", "refunded")
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.refund_id) == ("statement_difference", refund.id)
    assert is_clean(session, LATER)


def test_a_refund_follows_its_money_to_the_order_that_was_found_meanwhile(session, sale):
    receipt = stray_money(session, cents=PAID)
    refund = ask_refund(session, sale.admin, receipt)
    send(session, refund)
    hear(session, refund, did_not_go())
    order = buy(session, sale.buyer, (sale.boots, 1))
    assert receive_money(session, ReceiptFacts(receipt, PAID, "c2b", order.number), NOW) == "booked"
    assert hear(session, refund, went(), LATER) == "refunded"

    payment = session.get_one(Payment, refund.payment_id)
    assert (refund.order_id, payment.status, payment.mpesa_receipt) == (
        order.id,
        "refunded",
        receipt,
    )
    session.refresh(order)
    assert (order.status, balances_of(session, order.id)[Account.MPESA]) == ("refunded", 0)
    assert is_clean(session, LATER)


def test_money_that_was_no_business_of_ours_and_went_back_is_for_a_person(session, sale):
    receipt = stray_money(session)
    refund = ask_refund(session, sale.admin, receipt)
    send(session, refund)
    hear(session, refund, did_not_go())
    row = find_receipt(session, receipt)
    row.state = "dismissed"
    session.flush()
    assert hear(session, refund, went(), LATER) == "contradicted"

    assert (refund.state, session.get_one(MpesaReceipt, receipt).state) == ("failed", "dismissed")


def test_the_order_of_locks_is_order_payment_refund(session, sale):
    refund = bring_to(session, sale, "pending")
    held = hold_refund(session, refund.id)

    assert (held.order.id, held.payment.id, held.refund) == (
        sale.order.id,
        sale.payment.id,
        refund,
    )
    stray = ask_refund(session, sale.admin, stray_money(session))
    held = hold_refund(session, stray.id)
    assert (held.order, held.payment, held.refund) == (None, None, stray)
