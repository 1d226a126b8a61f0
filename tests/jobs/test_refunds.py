"""Refunds are sent once each, whoever dies on the way, and followed until M-Pesa has answered."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.integrations.mpesa import MpesaMisconfigured, MpesaUnavailable, MpesaUncertain
from app.jobs import refunds as job
from app.jobs.process_message import process_message
from app.jobs.refunds import check_due_refunds, check_refund, send_refund
from app.jobs.registry import sweep
from app.models import (
    InboxMessage,
    InboxSource,
    MpesaRequest,
    Payment,
    Refund,
    RefundKind,
    RequestKind,
    Task,
)
from app.services.inbox import ReceivedMessage
from app.utils.callback_secret import split_callback_token
from tests.core import after, database_snapshot, differing_tables
from tests.factories import NOW
from tests.inbox import keep_message
from tests.looking import is_sound
from tests.refunding import PAID, ask_refund, make_sale, stray_money
from tests.safaricom import result_body

pytestmark = pytest.mark.usefixtures("logs")


@pytest.fixture
def work(work):
    """Without Safaricom's list, on which these refunds would be missed."""
    return replace(work, config=replace(work.config, mpesa_pull=False))


def wish(database, sale, payment=None, **ask) -> int:
    with database.transaction() as session:
        return ask_refund(session, sale.admin, payment or sale.payment, **ask).id


def refund_of(database, refund_id) -> Refund:
    with database.reading() as session:
        return session.get_one(Refund, refund_id)


def requests_of(database, refund_id, kind=None) -> list[MpesaRequest]:
    with database.reading() as session:
        wanted = select(MpesaRequest).where(MpesaRequest.refund_id == refund_id)
        if kind is not None:
            wanted = wanted.where(MpesaRequest.kind == kind)
        return list(session.scalars(wanted.order_by(MpesaRequest.id)))


def tasks(database) -> list[str]:
    with database.reading() as session:
        open_ones = select(Task.kind).where(Task.status != "done").order_by(Task.id)
        return list(session.scalars(open_ones))


def post(work, request_id, body: bytes, source=InboxSource.API_RESULT) -> str:
    """Safaricom posts to an address of a request; answers what became of it."""
    with work.database.transaction() as session:
        message = ReceivedMessage(source, body, {}, "196.201.214.200", request_id=request_id)
        message_id = keep_message(session, message, work.now()).id
    process_message(work, message_id)
    with work.database.reading() as session:
        return session.get_one(InboxMessage, message_id).outcome


def answer(work, request: MpesaRequest, **fields) -> str:
    """An honest result for this request."""
    body = result_body(request.conversation_id or "", request.originator_id or "", **fields)
    return post(work, request.id, body)


def state_answer(work, request: MpesaRequest, status: str, receipt: str | None, amount=1500) -> str:
    """What a status question is answered with."""
    parameters = {"TransactionStatus": status, "Amount": amount}
    if receipt is not None:
        parameters["ReceiptNo"] = receipt
    return answer(work, request, receipt=None, parameters=parameters)


def sent(database, refund_id) -> MpesaRequest:
    (request,) = [
        one
        for one in requests_of(database, refund_id)
        if one.kind in (RequestKind.REVERSAL, RequestKind.PAYOUT)
    ]
    return request


def asked(database, refund_id) -> MpesaRequest:
    return requests_of(database, refund_id, RequestKind.STATUS)[-1]


def test_a_reversal_asks_for_the_payment_to_the_cent(work, database, merchant, doorbell, sale):
    refund_id = wish(database, sale)
    assert send_refund(work, refund_id) is None

    (ask,) = merchant.reversals
    assert (ask.receipt, ask.amount_cents, ask.remarks) == (
        sale.receipt,
        PAID,
        f"Refund {refund_id} of {sale.receipt}",
    )
    request = sent(database, refund_id)
    row_id, secret = split_callback_token(ask.result_url.rpartition("/")[2])
    assert row_id == request.id
    assert secret.matches(request.secret_hash)
    assert ask.result_url.startswith("https://shop.example/api/pay/result/")
    assert ask.timeout_url == ask.result_url.replace("/result/", "/timeout/")
    assert (request.state, request.conversation_id) == ("sent", "AG_20261122_a0000000000000000001")
    refund = refund_of(database, refund_id)
    assert (refund.state, refund.leased_until) == ("pending", None)
    assert after(seconds=30) <= refund.next_check_at <= after(seconds=33)
    assert doorbell.rings == [("check_refund", refund_id, 30)]
    assert is_sound(database, NOW)


def test_a_payout_goes_to_the_payers_phone_under_an_id_of_ours(work, database, merchant, sale):
    refund_id = wish(database, sale, amount_cents=50_000)
    send_refund(work, refund_id)

    (ask,) = merchant.payouts
    assert (ask.msisdn, ask.amount_shillings) == (sale.payment.msisdn, 500)
    assert ask.originator_id == sent(database, refund_id).originator_id


def test_a_refund_is_sent_once_however_often_it_is_asked(work, database, merchant, sale):
    refund_id = wish(database, sale)
    for _ in range(3):
        send_refund(work, refund_id)
        check_refund(work, refund_id)
        sweep(work)
    assert len(merchant.reversals) == 1


def test_what_is_not_to_be_sent_is_not(work, database, merchant, sale):
    waiting = wish(database, make(database), amount_cents=1_000_100)
    by_hand = wish(database, sale, method=RefundKind.BY_HAND)
    before = database_snapshot(database)
    for refund_id in (waiting, by_hand):
        assert send_refund(work, refund_id) is None
    assert (merchant.reversals, merchant.payouts) == ([], [])
    assert database_snapshot(database) == before


def make(database):
    with database.transaction() as session:
        return make_sale(session, price_cents=2_000_000)


def test_what_m_pesa_surely_refuses_fails_and_a_person_is_told(work, database, merchant, sale):
    refund_id = wish(database, sale)
    merchant.errors["reverse"] = refusal = MpesaUnavailable("Not sent: no connection")
    assert send_refund(work, refund_id) is refusal

    refund = refund_of(database, refund_id)
    assert (refund.state, refund.next_check_at, refund.result_desc) == (
        "failed",
        None,
        "M-Pesa did not take the request: Not sent: no connection",
    )
    assert sent(database, refund_id).state == "refused"
    assert tasks(database) == ["refund_failed"]
    assert is_sound(database, NOW)


def test_refused_settings_are_told_besides(work, database, merchant, sale):
    refund_id = wish(database, sale)
    merchant.errors["reverse"] = MpesaMisconfigured("Invalid Initiator", code="400.002.02")
    send_refund(work, refund_id)

    assert tasks(database) == ["refund_failed", "mpesa_configuration"]


@pytest.mark.fault("F28")
def test_f28_a_refund_whose_answer_is_lost_is_unknown_and_never_sent_again(
    work, database, clock, merchant, sale
):
    refund_id = wish(database, sale)
    merchant.errors["reverse"] = MpesaUncertain("read timeout")
    assert send_refund(work, refund_id) is None
    assert refund_of(database, refund_id).state == "unknown"
    for _ in range(30):
        clock.advance(minutes=67)
        sweep(work)

    assert len(merchant.reversals) == 1
    assert len(merchant.status_asks) == 22  # each time it was due, to the end of the day
    assert refund_of(database, refund_id).state == "unknown"
    assert tasks(database) == ["unknown_refund"]
    assert is_sound(database, clock())


@pytest.mark.fault("F28")
def test_f28_the_payment_shows_that_it_went(work, database, clock, merchant, sale):
    refund_id = wish(database, sale)
    merchant.errors["reverse"] = MpesaUncertain("read timeout")
    send_refund(work, refund_id)
    clock.advance(seconds=34)
    check_due_refunds(work)
    (ask,) = merchant.status_asks
    assert (ask.receipt, ask.conversation_id, ask.of_payout) == (sale.receipt, None, False)
    question = asked(database, refund_id)
    assert state_answer(work, question, "Completed", sale.receipt) == "no_verdict"

    clock.advance(seconds=15)
    check_due_refunds(work)
    assert state_answer(work, asked(database, refund_id), "Reversed", sale.receipt) == "refunded"
    refund = refund_of(database, refund_id)
    assert (refund.state, refund.refund_receipt) == ("succeeded", None)
    assert tasks(database) == []
    assert is_sound(database, clock())


@pytest.mark.fault("F28")
def test_f28_a_payout_is_found_by_our_own_id(work, database, clock, merchant, sale):
    refund_id = wish(database, sale, amount_cents=50_000)
    merchant.errors["pay_out"] = MpesaUncertain("502")
    send_refund(work, refund_id)
    clock.advance(seconds=34)
    check_due_refunds(work)
    (ask,) = merchant.status_asks
    assert (ask.receipt, ask.conversation_id, ask.of_payout) == (
        None,
        sent(database, refund_id).originator_id,
        True,
    )
    state_answer(work, asked(database, refund_id), "Completed", "UKM0000R01", amount=500)

    assert refund_of(database, refund_id).refund_receipt == "UKM0000R01"
    assert is_sound(database, clock())


class Death(BaseException):
    """The process ends here, as by kill -9: nothing of it is caught or rolled on."""


CRASHES = {
    # nothing was on record, so the sweep sends it
    "after_refund_commit": (0, 1, "pending"),
    # a request was on record, and nobody knows that it was not sent
    "before_refund_send": (0, 0, "unknown"),
    # it was sent, and nobody wrote that down
    "after_refund_send": (1, 1, "unknown"),
}
"""How often it was sent when the process had died, and in the end; how it stands after a sweep."""


@pytest.mark.parametrize("point", CRASHES)
def test_a_death_at_any_point_leaves_what_the_sweep_finishes_and_nothing_is_sent_twice(
    work, database, clock, merchant, sale, monkeypatch, point
):
    sent_then, sent_in_the_end, state = CRASHES[point]
    refund_id = wish(database, sale)

    def die(name: str) -> None:
        if name == point:
            raise Death

    with monkeypatch.context() as dying:
        dying.setattr(job, "failpoint", die)
        with pytest.raises(Death):
            send_refund(work, refund_id)
    assert len(merchant.reversals) == sent_then
    assert refund_of(database, refund_id).state == "created"
    assert is_sound(database, clock())

    clock.advance(seconds=31)
    sweep(work)  # while the lease of the dead lasts nobody touches what it may be sending
    clock.advance(seconds=61)
    sweep(work)
    assert refund_of(database, refund_id).state == state
    assert len(merchant.reversals) == sent_in_the_end
    assert is_sound(database, clock())

    for _ in range(3):
        clock.advance(hours=1)
        sweep(work)
    assert len(merchant.reversals) == sent_in_the_end
    assert len(merchant.status_asks) >= 3
    state_answer(work, asked(database, refund_id), "Reversed", sale.receipt)
    assert refund_of(database, refund_id).state == "succeeded"
    assert is_sound(database, clock())


def test_a_result_that_finds_the_dead_senders_row_settles_it(
    work, database, clock, merchant, sale, monkeypatch
):
    """Safaricom took the request, and its id was never written down: the address is enough."""
    refund_id = wish(database, sale)

    def die(name: str) -> None:
        if name == "after_refund_send":
            raise Death

    with monkeypatch.context() as dying:
        dying.setattr(job, "failpoint", die)
        with pytest.raises(Death):
            send_refund(work, refund_id)
    request = sent(database, refund_id)
    body = result_body("AG_1", "orig-1", parameters={"Amount": 1500})
    assert post(work, request.id, body) == "refunded"
    assert sent(database, refund_id).conversation_id == "AG_1"
    assert is_sound(database, clock())


def test_a_result_before_the_acknowledgement_stands(work, database, merchant, sale):
    refund_id = wish(database, sale)

    def report(name, ask) -> None:
        row_id, _ = split_callback_token(ask.result_url.rpartition("/")[2])
        body = result_body(
            "AG_20261122_a0000000000000000001",
            "ae4f-4b95-a71d-000000000001",
            parameters={"Amount": 1500.0, "OriginalTransactionID": sale.receipt},
        )
        assert post(work, row_id, body) == "refunded"

    merchant.on_call = report
    send_refund(work, refund_id)

    refund, request = refund_of(database, refund_id), sent(database, refund_id)
    assert (refund.state, refund.refund_receipt) == ("succeeded", "UKM0000R01")
    assert refund.next_check_at == after(minutes=1)
    assert (request.state, request.result_code) == ("answered", "0")
    assert is_sound(database, NOW)


def test_a_result_ends_the_refund_once_and_twice_is_as_once(work, database, clock, sale):
    refund_id = wish(database, sale, restock=True)
    send_refund(work, refund_id)
    request = sent(database, refund_id)
    done = {"parameters": {"Amount": 1500, "OriginalTransactionID": sale.receipt}}
    assert answer(work, request, **done) == "refunded"
    once = database_snapshot(database)
    assert answer(work, request, **done) == "repeated"
    assert post(work, request.id, b"{}", InboxSource.QUEUE_TIMEOUT) == "repeated"

    assert differing_tables(once, database_snapshot(database)) == {"callback_inbox"}
    with database.reading() as session:
        assert session.get_one(Payment, sale.payment.id).status == "refunded"
    assert is_sound(database, clock())


def test_a_success_is_held_against_m_pesas_books_a_minute_later(
    work, database, clock, merchant, sale
):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    answer(work, sent(database, refund_id), parameters={"Amount": 1500})
    clock.advance(seconds=61)
    check_due_refunds(work)
    (ask,) = merchant.status_asks
    assert (ask.receipt, ask.of_payout) == ("UKM0000R01", False)
    assert answer(work, asked(database, refund_id), code="2032") == "contradicted"

    assert refund_of(database, refund_id).state == "succeeded"
    assert tasks(database) == ["unknown_refund"]
    assert is_sound(database, clock())


def test_a_second_answer_that_says_otherwise_lets_money_win(work, database, clock, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    request = sent(database, refund_id)
    assert answer(work, request, code=1, ResultDesc="Insufficient") == "failed"
    assert answer(work, request, parameters={"Amount": 1500}) == "refunded"
    assert answer(work, request, code=1) == "already_final"

    assert refund_of(database, refund_id).state == "succeeded"
    assert tasks(database) == []
    assert is_sound(database, clock())


FAILURES = {
    "1": ("failed", ["refund_failed"]),
    "2040": ("failed", ["refund_failed"]),
    "R000002": ("failed", ["refund_failed"]),
    "2001": ("failed", ["mpesa_configuration", "refund_failed"]),
    "21": ("failed", ["mpesa_configuration", "refund_failed"]),
    "8006": ("failed", ["mpesa_configuration", "refund_failed"]),
    "TP40153": ("failed", ["mpesa_configuration", "refund_failed"]),
    "15": ("unknown", []),
    "17": ("unknown", []),
    "5555": ("unknown", []),
    "R000001": ("unknown", []),
}


@pytest.mark.parametrize("code", FAILURES)
def test_a_result_that_is_no_success_fails_the_refund_or_is_asked_about_at_once(
    work, database, clock, merchant, sale, code
):
    state, told = FAILURES[code]
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    assert answer(work, sent(database, refund_id), code=code) == state

    refund = refund_of(database, refund_id)
    assert (refund.state, refund.result_code) == (state, code)
    assert tasks(database) == told
    asks = [(ask.receipt, ask.conversation_id) for ask in merchant.status_asks]
    assert asks == ([(sale.receipt, None)] if state == "unknown" else [])
    assert is_sound(database, clock())


def test_a_payment_that_had_been_reversed_before_is_booked_and_somebody_finds_out_why(
    work, database, clock, sale
):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    answer(work, sent(database, refund_id), code="R000001")
    assert state_answer(work, asked(database, refund_id), "Reversed", sale.receipt) == "refunded"

    assert refund_of(database, refund_id).state == "succeeded"
    assert tasks(database) == ["statement_difference"]
    assert is_sound(database, clock())


def test_what_the_queue_gave_up_is_asked_about_at_once(work, database, clock, merchant, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    request = sent(database, refund_id)
    notice = json.dumps({"ConversationID": request.conversation_id}).encode()
    assert post(work, request.id, notice, InboxSource.QUEUE_TIMEOUT) == "given_up"

    refund = refund_of(database, refund_id)
    assert (refund.state, refund.result_desc) == ("unknown", "M-Pesa's queue gave the request up.")
    (ask,) = merchant.status_asks
    assert ask.conversation_id == request.conversation_id
    assert is_sound(database, clock())


@pytest.mark.parametrize(
    ("ids", "told"),
    [(("AG_other", "other"), "mismatched_callback"), (None, "unreadable_callback")],
)
def test_a_result_that_does_not_count_is_told_and_the_books_are_asked(
    work, database, clock, merchant, sale, ids, told
):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    body = result_body(*ids) if ids else b"{"
    post(work, sent(database, refund_id).id, body)

    assert refund_of(database, refund_id).state == "unknown"
    assert tasks(database) == [told]
    with database.reading() as session:
        task = session.scalars(select(Task)).one()
    assert (task.refund_id, task.order_id, task.receipt) == (
        refund_id,
        sale.order.id,
        sale.receipt,
    )
    assert len(merchant.status_asks) == 1
    own = "UKM0000R01"
    assert state_answer(work, asked(database, refund_id), "Completed", own) == "refunded"
    assert is_sound(database, clock())


def test_a_question_that_nobody_answers_well_is_asked_again(work, database, clock, merchant, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    before = None
    for body, source in (
        (b"{", InboxSource.API_RESULT),
        (b"{}", InboxSource.QUEUE_TIMEOUT),
        (result_body("AG_other"), InboxSource.API_RESULT),
        (None, InboxSource.API_RESULT),
    ):
        clock.advance(minutes=67)
        check_due_refunds(work)
        question = asked(database, refund_id)
        assert question.id != before
        before = question.id
        if body is None:
            assert answer(work, question, code="26") == "no_verdict"
        else:
            post(work, question.id, body, source)
    assert len(merchant.status_asks) == 4
    assert refund_of(database, refund_id).state == "unknown"
    assert is_sound(database, clock())


def test_an_initiator_that_may_not_ask_is_told(work, database, clock, merchant, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    clock.advance(seconds=34)
    check_due_refunds(work)
    assert answer(work, asked(database, refund_id), code="21") == "no_verdict"

    assert tasks(database) == ["mpesa_configuration"]


def test_a_question_that_cannot_be_sent_is_planned_again(work, database, clock, merchant, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    merchant.errors["ask_status"] = MpesaUnavailable("Not sent: no connection")
    clock.advance(seconds=34)
    check_due_refunds(work)

    assert asked(database, refund_id).state == "refused"
    assert refund_of(database, refund_id).next_check_at > clock()
    assert is_sound(database, clock())


def test_a_late_answer_to_an_earlier_question_is_heard(work, database, clock, sale):
    refund_id = wish(database, sale)
    send_refund(work, refund_id)
    clock.advance(seconds=34)
    check_due_refunds(work)
    first = asked(database, refund_id)
    clock.advance(seconds=30)
    check_due_refunds(work)
    assert state_answer(work, first, "Completed", "UKM0000R01") == "refunded"
    assert is_sound(database, clock())


def test_questions_keep_the_pace_of_all(work, database, clock, merchant, monkeypatch):
    monkeypatch.setattr("app.jobs.query_slot.time.sleep", lambda _seconds: None)
    paced = replace(work, config=replace(work.config, mpesa_queries_per_second=1))
    ids = []
    for _ in range(5):
        with database.transaction() as session:
            sale = make_sale(session)
        ids.append(wish(database, sale))
        send_refund(paced, ids[-1])
    clock.advance(seconds=40)
    check_due_refunds(paced)
    assert len(merchant.status_asks) == 3
    late = [one for one in ids if not requests_of(database, one, RequestKind.STATUS)]
    assert len(late) == 2
    clock.advance(seconds=5)
    check_due_refunds(paced)
    assert len(merchant.status_asks) == 5


def test_a_refund_by_hand_is_reminded_of(work, database, clock, sale):
    wish(database, sale, method=RefundKind.BY_HAND)
    clock.advance(hours=23)
    sweep(work)
    assert tasks(database) == []
    clock.advance(hours=2)
    sweep(work)
    sweep(work)
    assert tasks(database) == ["unknown_refund"]
    assert is_sound(database, clock())


def test_money_without_an_order_is_sent_back_alike(work, database, clock, merchant, sale):
    with database.transaction() as session:
        receipt = stray_money(session)
    refund_id = wish(database, sale, receipt)
    send_refund(work, refund_id)
    assert [ask.receipt for ask in merchant.reversals] == [receipt]
    answer(work, sent(database, refund_id), parameters={"Amount": 700})

    assert refund_of(database, refund_id).state == "succeeded"
    assert tasks(database) == []
    assert is_sound(database, clock())
