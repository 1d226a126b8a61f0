"""Asking for money to go back: whose, how much, by which way, and who may."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.errors import Conflict, Forbidden, InvalidInput, NotFound
from app.models import Payment, PaymentState, RefundKind, Task
from app.policies import Role
from app.services.end_order import cancel_order
from app.services.move_order import fulfil_order
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.records import Matter, file_task
from app.services.refunds import RefundRequest, plan_refund, record_by_hand
from app.services.unmatched_money import attach_money, dismiss_money
from tests.core import after, ask_to_pay, buy, is_clean, pay, refused, snapshot
from tests.factories import NOW, actor_of, make_user
from tests.refunding import (
    PAID,
    RULES,
    TOTAL,
    ask_refund,
    did_not_go,
    hear,
    make_sale,
    open_tasks,
    refund_whole,
    send,
    steps,
    stray_money,
    went,
)


@pytest.fixture
def sale(session):
    return make_sale(session)


NO_REVERSAL = replace(RULES, can_reverse=False)
NOTHING_SET_UP = replace(RULES, can_reverse=False, can_pay_out=False)


def test_a_refund_is_on_record_with_who_asked_and_why_and_nothing_else_moved(session, sale):
    before = snapshot(session)
    refund = ask_refund(session, sale.admin, sale.payment, reason="Too small")

    assert (refund.kind, refund.state, refund.amount_cents) == ("reversal", "created", PAID)
    assert (refund.order_id, refund.payment_id, refund.receipt, refund.msisdn) == (
        sale.order.id,
        sale.payment.id,
        sale.receipt,
        sale.payment.msisdn,
    )
    assert (refund.requested_by, refund.approved_by, refund.restock) == (sale.admin.id, None, False)
    assert refund.next_check_at == after(seconds=30)
    assert steps(session, refund) == [(None, "created", "request")]
    now = snapshot(session)
    assert {name for name in now if now[name] != before[name]} == {"refunds", "refund_events"}
    assert is_clean(session)


@pytest.mark.parametrize("role", [Role.SELLER, Role.CUSTOMER])
def test_attack_89_only_an_admin_gives_money_back(session, sale, role):
    somebody = make_user(session, role)
    seller = session.get_one(type(somebody), sale.boots.seller_id)
    for who in (somebody, sale.buyer, seller):
        with refused(session, Forbidden, "forbidden"):
            ask_refund(session, who, sale.payment)
        with refused(session, Forbidden, "forbidden"):
            ask_refund(session, who, "UKM00STRAY")


@pytest.mark.parametrize("status", [s for s in PaymentState if s != PaymentState.SUCCEEDED])
def test_attack_89_what_brought_no_money_is_not_given_back(session, sale, status):
    sale.payment.status = status
    session.flush()
    code = "already_refunded" if status == "refunded" else "not_refundable"
    with refused(session, Conflict, code):
        ask_refund(session, sale.admin, sale.payment)


def test_a_payment_that_is_not_there_is_not_found(session, sale):
    with refused(session, NotFound, "transaction_not_found"):
        ask_refund(session, sale.admin, Payment(id=999))


def test_attack_89_more_than_is_left_is_refused(session, sale):
    with refused(session, Conflict, "refund_exceeds_payment") as caught:
        ask_refund(session, sale.admin, sale.payment, amount_cents=PAID + 1)
    assert caught.value.extra == {"refundable": 1500}

    part = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000)
    send(session, part)
    hear(session, part, went())
    with refused(session, Conflict, "refund_exceeds_payment") as caught:
        ask_refund(session, sale.admin, sale.payment, amount_cents=100_001)
    assert caught.value.extra == {"refundable": 1000}
    rest = ask_refund(session, sale.admin, sale.payment)
    assert (rest.amount_cents, rest.kind) == (100_000, "payout")


def test_attack_89_a_second_refund_waits_for_the_end_of_the_first(session, sale):
    first = ask_refund(session, sale.admin, sale.payment, amount_cents=10_000)
    for _ in range(2):
        with refused(session, Conflict, "refund_under_way") as caught:
            ask_refund(session, sale.other_admin, sale.payment, amount_cents=10_000)
        assert caught.value.extra == {"refund_id": first.id}
        if first.state == "created":
            send(session, first)
    hear(session, first, did_not_go())

    assert ask_refund(session, sale.admin, sale.payment, amount_cents=10_000).state == "created"
    assert is_clean(session)


def test_money_of_an_order_that_still_waits_goes_back_once_it_is_called_off(session, sale):
    order = buy(session, sale.buyer, (sale.boots, 1))
    receive_money(session, ReceiptFacts("UKM0PART01", 40_000, "c2b", order.number), NOW)
    part = session.scalars(select(Payment).where(Payment.mpesa_receipt == "UKM0PART01")).one()
    with refused(session, Conflict, "order_still_open"):
        ask_refund(session, sale.admin, part)

    cancel_order(session, actor_of(sale.admin), order.id, NOW)
    refund = ask_refund(session, sale.admin, part)
    send(session, refund)
    hear(session, refund, went())
    assert (part.status, open_tasks(session)) == ("refunded", [])
    assert is_clean(session)


def test_a_payment_that_m_pesa_disputes_waits_for_a_person(session, sale):
    matter = Matter("disputed_payment", "Do not ship", "Look", "disputed_payment:1")
    file_task(session, matter, NOW, payment=sale.payment)
    with refused(session, Conflict, "payment_disputed"):
        ask_refund(session, sale.admin, sale.payment)


def test_a_receipt_that_nobody_has_named_cannot_be_given_back(session, sale):
    sale.payment.mpesa_receipt = None
    session.flush()
    with refused(session, Conflict, "receipt_unknown"):
        ask_refund(session, sale.admin, sale.payment)


@pytest.mark.parametrize(
    ("rules", "ask", "kind"),
    [
        (RULES, {}, "reversal"),
        (RULES, {"amount_cents": PAID}, "reversal"),
        (RULES, {"amount_cents": 50_000}, "payout"),
        (NO_REVERSAL, {}, "payout"),
        (replace(RULES, can_pay_out=False), {"amount_cents": 50_000}, "by_hand"),
        (RULES, {"amount_cents": 50_050}, "by_hand"),
        (NOTHING_SET_UP, {}, "by_hand"),
        (NOTHING_SET_UP, {"amount_cents": 50_000}, "by_hand"),
        (replace(NO_REVERSAL, max_amount_shillings=1499), {}, "by_hand"),
        (RULES, {"method": RefundKind.PAYOUT}, "payout"),
        (RULES, {"method": RefundKind.BY_HAND}, "by_hand"),
        (RULES, {"method": RefundKind.REVERSAL}, "reversal"),
    ],
)
def test_the_way_is_the_one_asked_for_or_the_surest_that_is_set_up(session, sale, rules, ask, kind):
    refund = ask_refund(session, sale.admin, sale.payment, rules=rules, **ask)

    assert refund.kind == kind
    wait = {"days": 1} if kind == "by_hand" else {"seconds": 30}
    assert refund.next_check_at == after(**wait)


@pytest.mark.parametrize(
    ("rules", "ask", "kind", "code"),
    [
        (NO_REVERSAL, {"method": RefundKind.REVERSAL}, Conflict, "method_not_set_up"),
        (NOTHING_SET_UP, {"method": RefundKind.PAYOUT}, Conflict, "method_not_set_up"),
        (
            RULES,
            {"method": RefundKind.REVERSAL, "amount_cents": 100},
            Conflict,
            "reversal_is_whole",
        ),
        (
            RULES,
            {"method": RefundKind.PAYOUT, "amount_cents": 50_050},
            InvalidInput,
            "invalid_input",
        ),
        (
            replace(RULES, max_amount_shillings=1499),
            {"method": RefundKind.PAYOUT},
            Conflict,
            "above_mpesa_limit",
        ),
    ],
)
def test_a_way_that_cannot_be_gone_is_refused_with_its_reason(
    session, sale, rules, ask, kind, code
):
    with refused(session, kind, code):
        ask_refund(session, sale.admin, sale.payment, rules=rules, **ask)


def test_nothing_is_paid_out_to_a_number_that_m_pesa_did_not_show(session, sale):
    sale.payment.kind, sale.payment.msisdn = "paybill", None
    session.flush()
    with refused(session, Conflict, "payer_unknown"):
        ask_refund(session, sale.admin, sale.payment, method=RefundKind.PAYOUT)
    part = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000)
    assert part.kind == "by_hand"


def test_what_went_back_in_part_is_never_reversed(session, sale):
    """A reversal would give all of it back: more than there was."""
    refund_whole(session, sale, amount_cents=50_000)
    with refused(session, Conflict, "reversal_is_whole"):
        ask_refund(session, sale.admin, sale.payment, method=RefundKind.REVERSAL)


@pytest.mark.parametrize("cents", [None, PAID, TOTAL])
def test_goods_come_back_with_the_whole_money_of_what_was_sold(session, sale, cents):
    """The price is enough; the cents that M-Pesa made of it to a shilling bought nothing."""
    refund = ask_refund(session, sale.admin, sale.payment, amount_cents=cents, restock=True)

    assert refund.restock is True


def test_goods_do_not_come_back_with_a_part_or_with_money_that_bought_none(session, sale):
    with refused(session, Conflict, "restock_needs_whole_order"):
        ask_refund(session, sale.admin, sale.payment, amount_cents=TOTAL - 1, restock=True)
    double = ReceiptFacts("UKM0DOUBLE", PAID, "c2b", sale.order.number)
    receive_money(session, double, NOW)
    with refused(session, Conflict, "restock_needs_whole_order"):
        ask_refund(session, sale.admin, sale.payment, restock=True)
    stray_money(session)
    with refused(session, Conflict, "restock_needs_whole_order"):
        ask_refund(session, sale.admin, "UKM00STRAY", restock=True)


@pytest.mark.parametrize(("limit", "state"), [(1500, "created"), (1499, "awaiting_approval")])
def test_above_the_limit_a_second_admin_is_asked(session, sale, limit, state):
    rules = replace(RULES, approval_above_shillings=limit)
    refund = ask_refund(session, sale.admin, sale.payment, rules=rules, reason="Too small")

    assert refund.state == state
    if state == "created":
        assert open_tasks(session) == []
        return
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.refund_id, task.payment_id, task.order_id, task.receipt) == (
        "refund_approval",
        refund.id,
        sale.payment.id,
        sale.order.id,
        sale.receipt,
    )
    assert task.title == f"Approve a refund of KES 1500 (receipt {sale.receipt})"
    assert "Too small" in task.description
    assert refund.next_check_at is None
    assert is_clean(session)


def test_the_limit_counts_all_that_goes_back_of_one_payment(session, sale):
    rules = replace(RULES, approval_above_shillings=1000)
    first = ask_refund(session, sale.admin, sale.payment, rules=rules, amount_cents=100_000)
    assert first.state == "created"
    send(session, first)
    hear(session, first, went())

    second = ask_refund(session, sale.admin, sale.payment, rules=rules, amount_cents=100)
    assert second.state == "awaiting_approval"


def test_a_plan_says_what_a_refund_would_be_and_leaves_nothing_behind(session, sale):
    before = snapshot(session)
    admin = actor_of(sale.admin)
    whole = plan_refund(session, admin, sale.payment.id, RefundRequest(""), RULES)
    part = plan_refund(session, admin, sale.payment.id, RefundRequest("", 50_000), RULES)

    assert (whole.kind, whole.amount_cents, whole.needs_approval) == ("reversal", PAID, False)
    assert (part.kind, part.amount_cents) == ("payout", 50_000)
    assert snapshot(session) == before


def test_who_saw_no_refund_is_refused_once_there_was_one(session, sale):
    """Two admins look at one payment; the second has not seen what the first asked for."""
    first = ask_refund(session, sale.admin, sale.payment, amount_cents=50_000, seen_refunds=0)
    send(session, first)
    hear(session, first, went())

    with refused(session, Conflict, code="refunds_changed"):
        ask_refund(session, sale.other_admin, sale.payment, seen_refunds=0)
    second = ask_refund(session, sale.other_admin, sale.payment, seen_refunds=1)
    assert second.amount_cents == PAID - 50_000


def test_money_without_an_order_goes_back_whole(session, sale):
    receipt = stray_money(session, payer_phone="0712 345 678")
    with refused(session, InvalidInput, "invalid_input"):
        ask_refund(session, sale.admin, receipt, amount_cents=100)
    refund = ask_refund(session, sale.admin, receipt)

    assert (refund.order_id, refund.payment_id, refund.receipt) == (None, None, receipt)
    assert (refund.kind, refund.amount_cents, refund.msisdn) == (
        "reversal",
        70_000,
        "254712345678",
    )
    with refused(session, Conflict, "refund_under_way"):
        ask_refund(session, sale.admin, receipt)
    send(session, refund)
    hear(session, refund, went())
    assert find_receipt(session, receipt).state == "refunded"
    assert open_tasks(session) == []
    with refused(session, Conflict, "not_refundable"):
        ask_refund(session, sale.admin, receipt)
    assert is_clean(session)


def test_a_receipt_is_refunded_by_its_transaction_where_it_has_one(session, sale):
    with refused(session, Conflict, "receipt_has_an_order") as caught:
        ask_refund(session, sale.admin, sale.receipt)
    assert caught.value.extra == {"transaction_id": sale.payment.id}
    with refused(session, NotFound, "receipt_not_found"):
        ask_refund(session, sale.admin, "UKM0000000")


def test_money_on_its_way_back_joins_no_order_and_is_not_dismissed(session, sale):
    receipt = stray_money(session)
    order = buy(session, sale.buyer, (sale.boots, 1))
    refund = ask_refund(session, sale.admin, receipt)
    row = find_receipt(session, receipt)
    with refused(session, Conflict, "refund_under_way"):
        attach_money(session, row, order, NOW, actor_id=sale.admin.id)
    with refused(session, Conflict, "refund_under_way"):
        dismiss_money(session, row, "Rent", NOW, actor_id=sale.admin.id)
    told_again = ReceiptFacts(receipt, 70_000, "statement", order.number)
    assert receive_money(session, told_again, NOW) == "known"
    assert row.state == "unmatched"

    send(session, refund)
    hear(session, refund, did_not_go())
    assert receive_money(session, told_again, NOW) == "booked"
    assert is_clean(session)


def test_a_prompt_is_not_paid_by_money_that_is_on_its_way_back(session, sale):
    receipt = stray_money(session, cents=PAID)
    ask_refund(session, sale.admin, receipt)
    order = buy(session, sale.buyer, (sale.boots, 1))
    prompt = ask_to_pay(session, order, after(minutes=4))
    assert pay(session, prompt, receipt=receipt) == "receipt_conflict"
    assert prompt.status == "unknown"
    assert "receipt_conflict" in open_tasks(session)
    assert is_clean(session)


@pytest.mark.parametrize("stage", ["paid", "shipped"])
def test_nothing_is_sent_while_the_money_of_the_sale_may_be_going_back(session, sale, stage):
    admin = actor_of(sale.admin)
    if stage == "shipped":
        fulfil_order(session, admin, sale.order.id, "shipped", NOW)
    refund = ask_refund(session, sale.admin, sale.payment)
    step = {"paid": "shipped", "shipped": "delivered"}[stage]
    with refused(session, Conflict, "refund_under_way"):
        fulfil_order(session, admin, sale.order.id, step, NOW)
    send(session, refund)
    with refused(session, Conflict, "refund_under_way"):
        fulfil_order(session, admin, sale.order.id, step, NOW)
    hear(session, refund, did_not_go())

    assert fulfil_order(session, admin, sale.order.id, step, NOW).status == step
    assert is_clean(session)


def test_a_part_that_goes_back_keeps_nobody_from_sending(session, sale):
    ask_refund(session, sale.admin, sale.payment, amount_cents=10_000)

    assert fulfil_order(session, actor_of(sale.admin), sale.order.id, "shipped", NOW)


def test_the_last_part_of_a_sale_does(session, sale):
    refund_whole(session, sale, amount_cents=100_000)
    ask_refund(session, sale.admin, sale.payment)
    with refused(session, Conflict, "refund_under_way"):
        fulfil_order(session, actor_of(sale.admin), sale.order.id, "shipped", NOW)


def test_what_was_paid_twice_goes_back_while_the_goods_are_sent(session, sale):
    double = ReceiptFacts("UKM0DOUBLE", PAID, "c2b", sale.order.number)
    receive_money(session, double, NOW)
    ask_refund(session, sale.admin, sale.payment)

    assert fulfil_order(session, actor_of(sale.admin), sale.order.id, "shipped", NOW)


def test_by_hand_always_works(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, rules=NOTHING_SET_UP, restock=True)
    record_by_hand(session, actor_of(sale.admin), refund.id, " ukm0 000r09 ", NOW)

    assert (refund.state, refund.refund_receipt, refund.finished_at) == (
        "succeeded",
        "UKM0000R09",
        NOW,
    )
    assert (sale.payment.status, sale.order.status) == ("refunded", "refunded")
    assert steps(session, refund) == [
        (None, "created", "request"),
        ("created", "succeeded", "person"),
    ]
    assert is_clean(session)
