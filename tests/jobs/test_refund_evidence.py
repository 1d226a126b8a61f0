"""What the statement shows as gone back ends the refund that it proves, once, and no other."""

from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import select

from app.jobs.import_statement import import_statement
from app.models import LineKind, MpesaReceipt, Order, Refund, RefundKind, Task
from app.services.reconciliation import day_span, file_differences, reconcile
from app.services.refunds import record_by_hand
from app.services.statements import Numbers, find_proofs
from app.services.statements.lines import BookLine
from app.utils.clock import EAT
from tests.core import buy, database_snapshot, is_clean, make_buyer
from tests.factories import NOW, actor_of, make_product
from tests.refunding import (
    Sale,
    ask_refund,
    bring_to,
    hear,
    open_tasks,
    send,
    steps,
    went,
)
from tests.statements import classic, file_of, paid, paid_out, reversed_

MORNING = datetime(2026, 11, 23, 8, 0, tzinfo=EAT)
DAY = day_span(NOW.astimezone(EAT).date())
NUMBERS = Numbers(paid=frozenset({"174379"}), payout="")
PART = 50_000


@pytest.fixture
def clock(clock):
    clock.now = MORNING
    return clock


@pytest.fixture
def bring(work, sale):
    def run(content: bytes):
        return import_statement(work, actor_of(sale.admin), file_of(content)).tally

    return run


def stand(database, state: str, sale: Sale) -> int:
    with database.transaction() as session:
        return bring_to(session, sale, state, receipt=None).id


def read(database, refund_id: int) -> Refund:
    with database.reading() as session:
        return session.get_one(Refund, refund_id)


def undoing(sale: Sale, **cells):
    return classic(paid(sale.receipt), reversed_(original=sale.receipt, **cells))


@pytest.mark.parametrize("state", ["created", "pending", "unknown", "failed"])
def test_a_reversal_on_the_statement_ends_the_refund_whose_result_was_lost(
    database, sale, bring, state
):
    refund_id = stand(database, state, sale)
    tally = bring(undoing(sale))

    assert (tally.refunds, tally.unbooked) == (1, 0)
    refund = read(database, refund_id)
    assert (refund.state, refund.refund_receipt, refund.finished_at) == (
        "succeeded",
        "UKM0000REV",
        MORNING,
    )
    with database.reading() as session:
        assert steps(session, refund)[-1] == (state, "succeeded", "statement")
        assert session.get_one(Order, sale.order.id).status == "refunded"
        assert open_tasks(session) == []
        assert is_clean(session)


def test_the_same_statement_once_more_proves_nothing_new(database, sale, bring):
    stand(database, "unknown", sale)
    bring(undoing(sale))
    once = database_snapshot(database)
    assert bring(undoing(sale)).refunds == 0
    assert database_snapshot(database) == once


def test_the_statement_names_the_receipt_of_a_refund_that_had_none(database, sale, bring):
    refund_id = stand(database, "succeeded", sale)
    tally = bring(undoing(sale))
    assert tally.refunds == 0
    assert read(database, refund_id).refund_receipt == "UKM0000REV"


def test_a_second_receipt_for_what_went_back_is_for_a_person(database, sale, bring):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        send(session, refund)
        hear(session, refund, went("UKM0000R01"))
    bring(undoing(sale))
    assert read(database, refund.id).refund_receipt == "UKM0000R01"
    with database.reading() as session:
        assert open_tasks(session) == ["receipt_conflict"]
        assert is_clean(session)


@pytest.mark.parametrize("state", ["awaiting_approval", "rejected"])
def test_what_was_never_sent_is_not_taken_for_what_somebody_reversed(database, sale, bring, state):
    refund_id = stand(database, state, sale)
    tally = bring(undoing(sale))
    assert (tally.refunds, tally.unbooked) == (0, 0)
    assert read(database, refund_id).state == state
    with database.reading() as session:
        task = session.scalars(select(Task).where(Task.kind == "statement_difference")).one()
    assert task.dedupe_key == "reversed:UKM0000REV"


def test_a_reversal_that_nobody_asked_for_is_done_with_once_it_is_recorded(database, sale, bring):
    bring(undoing(sale))
    with database.transaction() as session:
        assert open_tasks(session) == ["statement_difference"]
        refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000REV", MORNING)
        report = reconcile(session, DAY, NUMBERS, MORNING)
        file_differences(session, report, MORNING)
        assert (report.refunds.missing_here.count, report.refunds.matched.count) == (0, 0)
        assert open_tasks(session) == []
        assert is_clean(session)


def test_what_a_person_was_to_give_back_is_ended_by_the_statement(database, sale, bring):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    assert bring(undoing(sale)).refunds == 1
    assert read(database, refund.id).refund_receipt == "UKM0000REV"


def test_another_amount_than_was_asked_for_is_for_a_person(database, sale, bring):
    refund_id = stand(database, "unknown", sale)
    tally = bring(undoing(sale, Withdrawn="-1400.00"))
    assert tally.refunds == 0
    assert read(database, refund_id).state == "unknown"
    with database.reading() as session:
        assert "unknown_refund" in open_tasks(session)
        assert is_clean(session)


def test_of_several_attempts_the_one_that_is_open_is_proven(database, sale, bring):
    first = stand(database, "failed", sale)
    second = stand(database, "unknown", sale)
    assert bring(undoing(sale)).refunds == 1
    assert (read(database, first).state, read(database, second).state) == ("failed", "succeeded")


def pay_out(database, sale) -> tuple[int, str, str]:
    """A payout of a part whose result was lost, and both names of its conversation."""
    with database.transaction() as session:
        ask = {"method": RefundKind.PAYOUT, "amount_cents": PART}
        refund = ask_refund(session, sale.admin, sale.payment, **ask)
        request = send(session, refund)
        return refund.id, request.originator_id, request.conversation_id


@pytest.mark.parametrize("name", ["ours", "Safaricom's"])
def test_a_payout_is_proven_by_the_conversation_that_sent_it(database, sale, bring, name):
    refund_id, ours, theirs = pay_out(database, sale)
    conversation = ours if name == "ours" else theirs
    tally = bring(classic(paid(sale.receipt), paid_out(conversation=conversation)))

    assert tally.refunds == 1
    refund = read(database, refund_id)
    assert (refund.state, refund.refund_receipt) == ("succeeded", "UKM0000OUT")
    with database.reading() as session:
        assert open_tasks(session) == []
        assert is_clean(session)


@pytest.mark.parametrize("conversation", ["", "AG_20261122_other"])
def test_a_payout_that_names_no_conversation_of_ours_proves_nothing(
    database, sale, bring, conversation
):
    refund_id, _, _ = pay_out(database, sale)
    tally = bring(classic(paid(sale.receipt), paid_out(conversation=conversation)))
    assert (tally.refunds, read(database, refund_id).state) == (0, "pending")


def test_a_reversal_of_what_was_paid_out_already_is_found_out(database, sale, bring):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.PAYOUT)
        send(session, refund)
        hear(session, refund, went("UKM0000OUT"))
    bring(undoing(sale))
    with database.reading() as session:
        report = reconcile(session, DAY, NUMBERS, MORNING)
    assert [row.receipt for row in report.refunds.missing_here.rows] == ["UKM0000REV"]


def test_each_line_is_held_against_every_sending_that_it_names(database, sale):
    """Two lines of one conversation would be money that went twice."""
    refund_id, ours, _ = pay_out(database, sale)
    lines = [
        BookLine(f"UKM0000OU{n}", LineKind.PAYOUT, -PART, NOW, conversation_id=ours)
        for n in range(2)
    ]
    with database.reading() as session:
        proofs = find_proofs(session, lines)
    assert [(one, news.receipt) for one, news in proofs] == [
        (refund_id, "UKM0000OU0"),
        (refund_id, "UKM0000OU1"),
    ]


class Dies(BaseException):
    """The process is killed."""


class _Dying:
    def __init__(self, database, transaction) -> None:
        self.reading, self.transaction = database.reading, transaction


@pytest.mark.parametrize("at", range(1, 5))
def test_wherever_an_import_dies_the_next_one_proves_the_refund_once(work, database, sale, at):
    refund_id = stand(database, "unknown", sale)
    calls = iter(range(1, 1_000))

    def die_sometimes():
        if next(calls) == at:
            raise Dies
        return database.transaction()

    admin = actor_of(sale.admin)
    dying = replace(work, database=_Dying(database, die_sometimes))
    with pytest.raises(Dies):
        import_statement(dying, admin, file_of(undoing(sale)))
    import_statement(work, admin, file_of(undoing(sale)))

    assert read(database, refund_id).state == "succeeded"
    with database.reading() as session:
        assert [step[1] for step in steps(session, read(database, refund_id))].count(
            "succeeded"
        ) == 1
        assert is_clean(session)


def test_a_fault_of_ours_in_one_proof_keeps_no_line_from_being_read(
    database, sale, bring, monkeypatch, logs
):
    """A refund that moved between the look and the lock is met by the next reading."""
    refund_id = stand(database, "unknown", sale)

    def moved(*_args):
        raise RuntimeError("It is rejected and was never sent.")

    with monkeypatch.context() as patched:
        patched.setattr("app.jobs.take_lines.apply_refund_result", moved)
        tally = bring(undoing(sale))
    assert (tally.lines, tally.refunds, tally.unbooked) == (2, 0, 1)
    assert [log["event"] for log in logs if log["log_level"] == "error"] == ["refund_not_proven"]
    assert bring(undoing(sale)).refunds == 1
    assert read(database, refund_id).state == "succeeded"


@pytest.fixture
def order(database, sale):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


def test_money_that_came_and_went_back_before_we_heard_of_it_pays_for_nothing(
    database, sale, order, bring
):
    content = classic(
        paid(sale.receipt), reversed_(original="UKM0000PAY"), paid(account=order.number)
    )
    tally = bring(content)
    bring(content)

    assert (tally.recovered, tally.unmatched) == (0, 1)
    with database.transaction() as session:
        assert session.get_one(Order, order.id).status == "pending"
        assert session.get_one(MpesaReceipt, "UKM0000PAY").state == "unmatched"
        assert open_tasks(session) == ["unmatched_money", "statement_difference"]
        refund = ask_refund(session, sale.admin, "UKM0000PAY", method=RefundKind.BY_HAND)
        record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000REV", MORNING)
        file_differences(session, reconcile(session, DAY, NUMBERS, MORNING), MORNING)
        assert open_tasks(session) == []
        assert is_clean(session)


def test_a_part_that_went_back_leaves_the_payment_to_its_order(database, sale, order, bring):
    part = reversed_(original="UKM0000PAY", amount="-100.00")
    assert bring(classic(part, paid(account=order.number))).recovered == 1


def test_what_was_counted_before_its_reversal_was_heard_of_is_for_a_person(
    database, sale, order, bring
):
    mine = [paid(sale.receipt), paid(account=order.number)]
    bring(classic(*mine))
    bring(classic(reversed_(original="UKM0000PAY"), *mine))
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"
        task = session.scalars(select(Task).where(Task.kind == "statement_difference")).one()
        assert is_clean(session)
    assert task.dedupe_key == "reversed:UKM0000REV"
