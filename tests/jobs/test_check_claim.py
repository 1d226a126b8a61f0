"""What a customer says to have paid: the question to M-Pesa, and its answer by the real readers."""

import pytest
from sqlalchemy import select

from app.integrations.mpesa import MpesaMisconfigured, MpesaUnavailable, MpesaUncertain
from app.jobs import check_claim as job
from app.jobs.check_claim import check_claim, check_undecided_claims
from app.jobs.process_message import process_message
from app.jobs.registry import JOBS, sweep
from app.models import (
    InboxMessage,
    InboxSource,
    MpesaReceipt,
    MpesaRequest,
    Order,
    PaymentClaim,
    Task,
)
from app.ports import StatusAsk
from app.services.claims import ClaimRequest, claim_payment
from app.services.inbox import ReceivedMessage
from app.utils.callback_secret import split_callback_token
from tests.core import buy, database_snapshot, make_buyer
from tests.factories import actor_of, make_product
from tests.inbox import keep_message
from tests.looking import is_sound
from tests.safaricom import notice_body, result_body

pytestmark = pytest.mark.usefixtures("logs")

PHONE = "254700000001"
RECEIPT = "UKM9000001"
FACTS = {
    "ReceiptNo": RECEIPT,
    "TransactionStatus": "Completed",
    "Amount": "1500.00",
    "DebitPartyName": f"{PHONE} - WANJIKU KAMAU",
    "CreditPartyName": "174379 - SIMULATED SHOP",
    "InitiatedTime": "20261122120020",
    "FinalisedTime": "20261122120030",
    "ReasonType": "Pay Bill Online",
}


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session, phone_number=PHONE)


@pytest.fixture
def order(database, buyer):
    with database.transaction() as session:
        return buy(session, buyer, (make_product(session), 1))


@pytest.fixture
def claim_id(database, buyer, order, clock) -> int:
    with database.transaction() as session:
        ask = ClaimRequest(order.id, RECEIPT, can_ask=True)
        return claim_payment(session, actor_of(buyer), ask, clock()).id


def claim(database, claim_id) -> PaymentClaim:
    with database.reading() as session:
        return session.get_one(PaymentClaim, claim_id)


def status(database, order) -> str:
    with database.reading() as session:
        return session.get_one(Order, order.id).status


def tasks(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Task.kind).order_by(Task.id)))


def questions(database) -> list[tuple]:
    with database.reading() as session:
        asked = select(MpesaRequest.kind, MpesaRequest.state, MpesaRequest.receipt)
        return [tuple(row) for row in session.execute(asked.order_by(MpesaRequest.id))]


def answer(work, merchant, *, source=InboxSource.API_RESULT, code=0, of=-1, **changes) -> str:
    """M-Pesa's answer to a question, the last one unless told otherwise; what became of it."""
    request_id, _ = split_callback_token(merchant.status_asks[of].result_url.rpartition("/")[2])
    with work.database.reading() as session:
        request = session.get_one(MpesaRequest, request_id)
    parameters = None if code else {**FACTS, **changes}
    body = result_body(
        request.conversation_id or "",
        request.originator_id or "",
        code=code,
        receipt=None,
        parameters=parameters,
    )
    message = ReceivedMessage(source, body, {}, "196.201.214.200", request_id=request_id)
    with work.database.transaction() as session:
        message_id = keep_message(session, message, work.now()).id
    process_message(work, message_id)
    with work.database.reading() as session:
        return session.get_one(InboxMessage, message_id).outcome


def test_mpesa_is_asked_once_about_the_receipt_and_its_answer_pays_the_order(
    work, database, merchant, clock, order, claim_id
):
    check_claim(work, claim_id)
    check_claim(work, claim_id)

    [ask] = merchant.status_asks
    assert ask == StatusAsk(
        receipt=RECEIPT,
        conversation_id=None,
        result_url=ask.result_url,
        timeout_url=ask.timeout_url,
        remarks=f"Claim {claim_id}",
    )
    assert ask.result_url.startswith("https://shop.example/api/pay/result/1.")
    assert questions(database) == [("status", "sent", RECEIPT)]
    assert claim(database, claim_id).state == "open"

    assert answer(work, merchant) == "claim_accepted"
    assert (status(database, order), claim(database, claim_id).state) == ("paid", "accepted")
    with database.reading() as session:
        row = session.get_one(MpesaReceipt, RECEIPT)
    assert (row.source, row.payer_phone, row.payer_name, row.amount_cents) == (
        "status",
        PHONE,
        "WANJIKU KAMAU",
        150_000,
    )
    assert tasks(database) == []
    assert is_sound(database, clock())


def test_the_same_answer_again_and_a_late_other_one_change_nothing_that_counts(
    work, database, merchant, clock, order, claim_id
):
    check_claim(work, claim_id)
    answer(work, merchant)
    assert answer(work, merchant) == "repeated"
    assert answer(work, merchant, code=2032) == "claim_accepted"
    assert (status(database, order), claim(database, claim_id).state) == ("paid", "accepted")
    assert is_sound(database, clock())


@pytest.mark.parametrize(
    ("said", "outcome", "filed"),
    [
        ({"DebitPartyName": "2547****001 - WANJIKU"}, "claim_accepted", []),
        (
            {"DebitPartyName": "2547****777 - OTIENO"},
            "claim_with_a_person",
            ["unmatched_money", "payment_claim"],
        ),
        (
            {"DebitPartyName": "WANJIKU KAMAU"},
            "claim_with_a_person",
            ["unmatched_money", "payment_claim"],
        ),
        ({"CreditPartyName": "600123 - ANOTHER SHOP"}, "claim_refused", []),
        ({"CreditPartyName": "254711000777 - OTIENO"}, "claim_refused", []),
        ({"CreditPartyName": "OUR SHOP"}, "claim_with_a_person", ["payment_claim"]),
        ({"TransactionStatus": "Reversed"}, "claim_refused", []),
        ({"TransactionStatus": "Failed"}, "claim_refused", []),
        ({"TransactionStatus": "Pending"}, "claim_open", []),
        ({"TransactionStatus": ""}, "claim_with_a_person", ["payment_claim"]),
        ({"Amount": "?"}, "claim_with_a_person", ["payment_claim"]),
        ({"ReceiptNo": "UKM9999999"}, "claim_with_a_person", ["payment_claim"]),
        ({"code": 2032}, "claim_refused", []),
        ({"code": 26}, "claim_open", []),
        ({"code": 9999}, "claim_open", []),
        ({"code": 21}, "claim_with_a_person", ["mpesa_configuration", "payment_claim"]),
    ],
)
def test_what_mpesa_answers_decides(
    work, database, merchant, clock, order, claim_id, said, outcome, filed
):
    check_claim(work, claim_id)
    assert answer(work, merchant, **said) == outcome

    paid = outcome == "claim_accepted"
    assert status(database, order) == ("paid" if paid else "pending")
    assert f"claim_{claim(database, claim_id).state}" == outcome
    assert tasks(database) == filed
    assert is_sound(database, clock())


def test_a_question_that_the_queue_gave_up_is_put_again(work, database, merchant, clock, claim_id):
    check_claim(work, claim_id)
    assert answer(work, merchant, source=InboxSource.QUEUE_TIMEOUT) == "given_up"
    assert claim(database, claim_id).state == "open"

    clock.advance(seconds=60)
    check_undecided_claims(work)
    assert len(merchant.status_asks) == 2
    assert answer(work, merchant) == "claim_accepted"
    assert questions(database) == [("status", "expired", RECEIPT), ("status", "answered", RECEIPT)]
    assert is_sound(database, clock())


def test_an_answer_to_an_old_question_decides_too(work, database, merchant, clock, claim_id):
    check_claim(work, claim_id)
    clock.advance(seconds=60)
    check_undecided_claims(work)
    assert answer(work, merchant, of=0) == "claim_accepted"
    assert is_sound(database, clock())


@pytest.mark.parametrize("error", [MpesaUncertain("timeout"), MpesaUnavailable("down")])
def test_a_network_that_stutters_costs_a_minute(
    work, database, merchant, clock, order, claim_id, error
):
    merchant.errors["ask_status"] = error
    check_claim(work, claim_id)
    assert (claim(database, claim_id).state, tasks(database)) == ("open", [])

    merchant.errors.clear()
    check_undecided_claims(work)
    assert len(merchant.status_asks) == 1
    clock.advance(seconds=60)
    sweep(work)
    assert len(merchant.status_asks) == 2
    assert answer(work, merchant) == "claim_accepted"
    assert status(database, order) == "paid"


def test_settings_that_mpesa_refuses_bring_the_claim_to_a_person_at_once(
    work, database, merchant, clock, claim_id
):
    merchant.errors["ask_status"] = MpesaMisconfigured("Wrong initiator", code="400.002.02")
    check_claim(work, claim_id)

    assert claim(database, claim_id).state == "with_a_person"
    assert tasks(database) == ["payment_claim", "mpesa_configuration"]
    assert is_sound(database, clock())


def test_no_answer_in_a_day_brings_it_to_a_person_and_the_answer_is_still_heard(
    work, database, merchant, clock, order, claim_id
):
    for _ in range(30):
        check_undecided_claims(work)
        clock.advance(hours=1)
    assert len(merchant.status_asks) == 5
    assert (claim(database, claim_id).state, tasks(database)) == (
        "with_a_person",
        ["payment_claim"],
    )
    assert answer(work, merchant) == "claim_accepted"
    assert status(database, order) == "paid"
    with database.reading() as session:
        assert session.scalars(select(Task.status)).all() == ["done"]


def test_a_confirmation_that_comes_first_decides_the_claim(
    work, database, merchant, clock, order, claim_id
):
    body = notice_body(order.number, receipt=RECEIPT)
    message = ReceivedMessage(InboxSource.C2B_CONFIRMATION, body, {}, "196.201.214.200")
    with database.transaction() as session:
        message_id = keep_message(session, message, clock()).id
    process_message(work, message_id)
    check_undecided_claims(work)

    assert claim(database, claim_id).state == "accepted"
    assert merchant.status_asks == []
    assert is_sound(database, clock())


def test_a_claim_that_fails_keeps_no_other_waiting(
    work, database, merchant, buyer, order, claim_id, clock, monkeypatch
):
    with database.transaction() as session:
        ask = ClaimRequest(order.id, "UKM9000002", can_ask=True)
        claim_payment(session, actor_of(buyer), ask, clock())
    real = job.look_at_claim

    def burst(session, chosen, *args):
        if chosen == claim_id:
            raise RuntimeError("bad luck")
        return real(session, chosen, *args)

    monkeypatch.setattr(job, "look_at_claim", burst)
    check_undecided_claims(work)
    assert [ask.receipt for ask in merchant.status_asks] == ["UKM9000002"]


def test_the_job_is_known_by_name_and_twice_equals_once(work, database, claim_id):
    assert JOBS["check_claim"] is check_claim
    check_claim(work, claim_id)
    once = database_snapshot(database)
    check_claim(work, claim_id)
    check_undecided_claims(work)
    assert database_snapshot(database) == once
