"""What is asked about a refund, when, by what, and what the answers do."""

import pytest
from sqlalchemy import select

from app.models import MpesaRequest, Refund, RefundEvent, RefundKind, RequestState, Task
from app.services.leases import claim_due, claim_one, give_back
from app.services.mpesa_requests import Answer, note_answer
from app.services.refunds import (
    BookedFacts,
    BookedState,
    begin_question,
    record_by_hand,
    remind_of_hand,
    resolve_unknown,
)
from app.utils.callback_secret import CallbackSecret
from tests.core import SCHEDULE, after, is_clean, snapshot
from tests.factories import NOW, actor_of
from tests.refunding import (
    PAID,
    ask_refund,
    begin,
    hear,
    lose,
    make_sale,
    nobody_knows,
    open_tasks,
    questions,
    send,
    steps,
    went,
)

SOON = after(seconds=31)


@pytest.fixture
def sale(session):
    return make_sale(session)


def reversal(session, sale, sent=send):
    refund = ask_refund(session, sale.admin, sale.payment)
    return refund, sent(session, refund)


def payout(session, sale, sent=send):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.PAYOUT)
    return refund, sent(session, refund)


def question(session, refund, now=SOON):
    return begin_question(session, refund.id, CallbackSecret.new(), SCHEDULE, now)


def by(asked) -> tuple:
    return asked.receipt, asked.conversation_id, asked.of_payout


def facts(state: BookedState, **fields) -> BookedFacts:
    return BookedFacts(
        **{
            "state": state,
            "sentence": f"M-Pesa's books say: {state}.",
            "result_code": "0",
            "asked_at": SOON,
            **fields,
        }
    )


def test_a_reversal_is_asked_about_by_its_conversation_and_by_the_payment_in_turn(session, sale):
    refund, request = reversal(session, sale)
    own = (None, request.conversation_id, False)
    payment = (sale.receipt, None, False)

    assert [by(question(session, refund)) for _ in range(4)] == [own, payment, own, payment]
    assert [(one.receipt, one.state) for one in questions(session, refund)] == [
        (None, "expired"),
        (sale.receipt, "expired"),
        (None, "expired"),
        (sale.receipt, "created"),
    ]


def test_a_reversal_without_an_acknowledgement_is_asked_about_by_the_payment(session, sale):
    refund, _ = reversal(session, sale, lose)

    assert [by(question(session, refund)) for _ in range(2)] == [(sale.receipt, None, False)] * 2


def test_a_reversal_that_has_ended_is_asked_about_by_the_payment(session, sale):
    refund, _ = reversal(session, sale)
    hear(session, refund, nobody_knows("17"))

    assert by(question(session, refund)) == (sale.receipt, None, False)


def test_a_payout_is_asked_about_by_each_id_that_it_has(session, sale):
    refund, request = payout(session, sale)
    theirs = (None, request.conversation_id, True)
    ours = (None, request.originator_id, True)
    assert [by(question(session, refund)) for _ in range(3)] == [theirs, ours, theirs]


def test_a_payout_without_an_acknowledgement_is_asked_about_by_our_own_id(session, sale):
    refund, request = payout(session, sale, lose)

    assert [by(question(session, refund)) for _ in range(2)] == [
        (None, request.originator_id, True)
    ] * 2


def test_looks_follow_the_schedule_from_when_it_was_sent(session, sale, monkeypatch):
    monkeypatch.setattr("app.services.due_payments.random.uniform", lambda _low, _high: 0)
    refund = ask_refund(session, sale.admin, sale.payment)
    sent_at = after(days=2)  # it was approved late
    send(session, refund, sent_at)
    for age, following in ((30, 45), (45, 60), (180, 300), (900, 1800), (7200, 10_800)):
        question(session, refund, after(days=2, seconds=age))
        assert refund.next_check_at == after(days=2, seconds=following)


def test_what_has_no_result_after_a_while_is_unknown(session, sale):
    refund, _ = reversal(session, sale)
    question(session, refund, after(seconds=179))
    assert refund.state == "pending"
    question(session, refund, after(seconds=180))

    assert steps(session, refund)[-1] == ("pending", "unknown", "check")
    assert is_clean(session, after(seconds=180))


def test_a_request_that_was_on_record_when_its_process_died_is_never_sent_and_asked_about(
    session, sale
):
    refund, request = reversal(session, sale, begin)
    asked = question(session, refund, after(seconds=61))

    assert by(asked) == (sale.receipt, None, False)
    session.refresh(request)
    assert (refund.state, refund.leased_until, request.state) == ("unknown", None, "unknown")
    assert is_clean(session, after(seconds=61))


def test_after_a_day_a_person_is_told_what_m_pesa_last_said_and_it_is_asked_once_more(
    session, sale
):
    refund, _ = reversal(session, sale, lose)
    first = question(session, refund)
    note_answer(session, first.request_id, Answer("2032", "It does not exist."), after(seconds=40))
    last = question(session, refund, after(days=1))

    assert last is not None
    assert (refund.state, refund.next_check_at) == ("unknown", None)
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.refund_id) == ("unknown_refund", refund.id)
    assert task.description.startswith(
        f"KES 1500 of receipt {sale.receipt} was to go back, as asked at 2026-11-22T09:00:00Z."
        " M-Pesa was asked 2 times what became of it; its last answer: 2032 It does not exist."
    )
    assert is_clean(session, after(days=3))

    late = facts(BookedState.REVERSED, receipt=sale.receipt, asked_at=after(days=1))
    assert resolve_unknown(session, refund.id, late, after(days=1, minutes=1)) == "refunded"
    assert open_tasks(session) == []
    assert is_clean(session, after(days=3))


def test_nothing_is_asked_about_what_is_over(session, sale):
    refund, _ = reversal(session, sale)
    hear(session, refund, went())
    refund.refund_receipt, refund.next_check_at = None, SOON
    session.flush()
    assert question(session, refund) is None
    assert refund.next_check_at is None
    by_hand = make_sale(session)
    noted = ask_refund(session, by_hand.admin, by_hand.payment, method=RefundKind.BY_HAND)
    record_by_hand(session, actor_of(by_hand.admin), noted.id, "UKM0000R09", NOW)
    assert (question(session, noted), noted.next_check_at) == (None, None)


OWN = "UKM0000R01"
BOOKS = {
    "the payment is reversed": (BookedState.REVERSED, "payment", "refunded"),
    "the payment stands": (BookedState.COMPLETED, "payment", "no_verdict"),
    "the refund is completed": (BookedState.COMPLETED, OWN, "refunded"),
    "the refund failed": (BookedState.FAILED, None, "failed"),
    "the refund was itself reversed": (BookedState.REVERSED, OWN, "no_verdict"),
    "something is completed": (BookedState.COMPLETED, None, "no_verdict"),
    "nothing is there": (BookedState.MISSING, None, "no_verdict"),
    "it moves": (BookedState.OPEN, OWN, "no_verdict"),
}


@pytest.mark.parametrize("case", BOOKS)
def test_the_books_decide_or_say_nothing(session, sale, case):
    state, named, outcome = BOOKS[case]
    refund, _ = reversal(session, sale, lose)
    receipt = sale.receipt if named == "payment" else named
    before = snapshot(session)
    told = facts(state, receipt=receipt, amount_cents=PAID)
    assert resolve_unknown(session, refund.id, told, SOON) == outcome

    if outcome == "no_verdict":
        assert snapshot(session) == before
        return
    session.refresh(refund)
    assert (refund.state, refund.refund_receipt) == (
        ("succeeded", named if named == OWN else None)
        if outcome == "refunded"
        else ("failed", None)
    )
    assert refund.next_check_at is None  # the books need no confirmation
    assert is_clean(session, SOON)
    once = snapshot(session)
    resolve_unknown(session, refund.id, told, SOON)
    assert snapshot(session) == once


def test_a_payment_that_was_reversed_says_nothing_of_a_payout(session, sale):
    refund, _ = payout(session, sale, lose)
    told = facts(BookedState.REVERSED, receipt=sale.receipt)
    assert resolve_unknown(session, refund.id, told, SOON) == "no_verdict"


@pytest.mark.parametrize("code", ["17", "5555"])
@pytest.mark.parametrize("case", ["the payment stands", "nothing is there"])
def test_what_m_pesa_is_done_with_and_has_not_in_its_books_did_not_go(session, sale, code, case):
    state, named, _ = BOOKS[case]
    refund, _ = reversal(session, sale)
    hear(session, refund, nobody_knows(code), after(seconds=20))
    told = facts(state, receipt=sale.receipt if named == "payment" else None)
    assert resolve_unknown(session, refund.id, told, SOON) == "failed"

    assert (refund.state, refund.result_code) == ("failed", code)
    assert open_tasks(session) == ["refund_failed"]
    assert is_clean(session, SOON)


def test_what_was_asked_before_m_pesa_was_done_with_it_proves_nothing(session, sale):
    refund, _ = reversal(session, sale)
    hear(session, refund, nobody_knows("17"), after(seconds=20))
    early = facts(BookedState.MISSING, asked_at=after(seconds=19))
    assert resolve_unknown(session, refund.id, early, SOON) == "no_verdict"


@pytest.mark.parametrize("code", ["R000001", "15"])
@pytest.mark.parametrize("state", [BookedState.COMPLETED, BookedState.MISSING])
def test_two_words_of_m_pesas_that_contradict_each_other_prove_nothing(session, sale, state, code):
    """It was done before, it said; and now the payment stands."""
    refund, _ = reversal(session, sale)
    hear(session, refund, nobody_knows(code), NOW)
    told = facts(state, receipt=sale.receipt)
    assert resolve_unknown(session, refund.id, told, SOON) == "no_verdict"
    assert refund.state == "unknown"


def test_the_books_say_another_amount_and_a_person_looks(session, sale):
    refund, _ = reversal(session, sale)
    told = facts(BookedState.COMPLETED, receipt=OWN, amount_cents=PAID - 100)
    assert resolve_unknown(session, refund.id, told, SOON) == "contradicted"
    assert (refund.state, refund.next_check_at) == ("unknown", None)
    assert open_tasks(session) == ["unknown_refund"]
    assert is_clean(session, SOON)


def confirmable(session, sale):
    refund, _ = reversal(session, sale)
    hear(session, refund, went(OWN))
    return refund


def test_a_success_is_confirmed_by_its_own_receipt(session, sale):
    refund = confirmable(session, sale)
    asked = question(session, refund, after(minutes=1))
    assert by(asked) == (OWN, None, False)
    told = facts(BookedState.COMPLETED, asked_receipt=OWN, receipt=OWN, amount_cents=PAID)
    assert resolve_unknown(session, refund.id, told, after(minutes=2)) == "confirmed"

    assert (refund.state, refund.next_check_at, open_tasks(session)) == ("succeeded", None, [])
    last = session.scalars(select(RefundEvent).order_by(RefundEvent.id.desc())).first()
    assert (last.to_state, last.source, last.detail) == (
        "succeeded",
        "status",
        "confirmed: M-Pesa's books say: completed.",
    )


@pytest.mark.parametrize(
    "told",
    [
        {"state": BookedState.MISSING},
        {"state": BookedState.FAILED},
        {"state": BookedState.REVERSED, "receipt": OWN},
        {"state": BookedState.COMPLETED, "receipt": OWN, "amount_cents": 100},
    ],
)
def test_a_success_that_the_books_do_not_show_is_for_a_person(session, sale, told):
    refund = confirmable(session, sale)
    question(session, refund, after(minutes=1))
    for _ in range(2):
        resolve_unknown(session, refund.id, facts(**told, asked_receipt=OWN), after(minutes=2))

    assert (refund.state, refund.next_check_at) == ("succeeded", None)
    assert open_tasks(session) == ["unknown_refund"]
    assert is_clean(session, after(minutes=2))


def test_an_older_answer_confirms_and_contradicts_nothing(session, sale):
    refund = confirmable(session, sale)
    before = snapshot(session)
    for told in (
        facts(BookedState.MISSING),
        facts(BookedState.COMPLETED, asked_receipt=sale.receipt, receipt=sale.receipt),
        facts(BookedState.OPEN, asked_receipt=OWN, receipt=OWN),
    ):
        assert resolve_unknown(session, refund.id, told, SOON) == "no_verdict"
    assert snapshot(session) == before


def test_a_confirmation_that_never_comes_is_let_be_after_a_few_tries(session, sale):
    refund = confirmable(session, sale)
    moments = []
    for _ in range(5):
        question(session, refund, after(minutes=1))
        moments.append(refund.next_check_at)

    assert moments == [*[after(minutes=1 + 2 * tries) for tries in (1, 2, 3, 4)], None]
    assert (refund.state, open_tasks(session)) == ("succeeded", [])
    assert is_clean(session, after(days=3))


def test_a_refund_by_hand_that_nobody_does_is_told_after_a_day(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment, method=RefundKind.BY_HAND)
    for _ in range(2):
        remind_of_hand(session, refund.id, after(days=1))

    assert (refund.state, refund.next_check_at) == ("created", None)
    assert open_tasks(session) == ["unknown_refund"]
    assert is_clean(session, after(days=3))
    record_by_hand(session, actor_of(sale.admin), refund.id, "UKM0000R09", after(days=2))
    assert open_tasks(session) == []


def test_due_refunds_are_claimed_by_one_worker_and_come_back_when_it_dies(session, sale):
    refund = ask_refund(session, sale.admin, sale.payment)
    assert claim_due(session, Refund, after(seconds=29), limit=9, lease_seconds=60) == []
    assert claim_due(session, Refund, SOON, limit=9, lease_seconds=60) == [refund.id]
    assert claim_due(session, Refund, SOON, limit=9, lease_seconds=60) == []
    assert claim_one(session, Refund, refund.id, SOON, 60) is False
    assert claim_one(session, Refund, refund.id, after(seconds=92), 60) is True

    give_back(session, Refund, refund.id, after(minutes=5))
    session.refresh(refund)
    assert (refund.next_check_at, refund.leased_until) == (after(minutes=5), None)


def test_questions_that_were_answered_stay_answered(session, sale):
    refund, _ = reversal(session, sale, lose)
    first = question(session, refund)
    note_answer(session, first.request_id, Answer("0", "Done."), SOON)
    question(session, refund)

    states = [one.state for one in questions(session, refund)]
    assert states == [RequestState.ANSWERED, RequestState.CREATED]
    assert session.get_one(MpesaRequest, first.request_id).result_desc == "Done."
