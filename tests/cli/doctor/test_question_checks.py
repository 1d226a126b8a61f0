"""The initiator, the results that reach us or do not, and news of payments from the menu."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.config import SIMULATOR_CERTIFICATE, MpesaEnv
from app.integrations.mpesa import (
    MERCHANT_RESULT_CODES,
    MpesaBusy,
    MpesaMisconfigured,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.models import InboxSource, MpesaRequest, RequestKind
from app.ports import PulledRow
from app.services.inbox import ReceivedMessage
from app.services.mpesa_requests import Answer, NamedIds, note_answer, note_given_up
from tests.certificates import rsa_certificate
from tests.cli.doctor.conftest import codes, look, only_line
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer, pay
from tests.factories import NOW, make_product
from tests.inbox import keep_message

PASSWORD = "password-of-the-initiator"


@pytest.fixture(scope="module")
def production_certificate() -> bytes:
    return rsa_certificate("apigee.apicaller.safaricom.co.ke")


@pytest.fixture
def agreed(live, production_certificate):
    """A production shop with an initiator."""
    return replace(
        live,
        mpesa_initiator_name="SokoniApi",
        mpesa_initiator_password=PASSWORD,
        mpesa_certificate=production_certificate,
    )


# --- the certificate ---


def test_an_expired_certificate_of_safaricoms_is_fine(make_exam, agreed):
    code, sentence = only_line(make_exam(agreed), "initiator")
    assert (code, sentence[:35]) == ("ok", "SokoniApi's password can be encrypt")


def test_a_shop_without_an_initiator_is_passed_by(make_exam, live):
    exam = make_exam(live)
    for name in ("initiator", "status", "balance"):
        assert codes(exam, name) == ["skipped"]


def test_a_password_that_is_too_long_for_the_key_is_named(make_exam, agreed):
    code, sentence = only_line(
        make_exam(replace(agreed, mpesa_initiator_password="x" * 246)), "initiator"
    )
    assert (code, "at most 245 characters" in sentence) == ("initiator_unsealable", True)
    fits = replace(agreed, mpesa_initiator_password="x" * 245)
    assert codes(make_exam(fits), "initiator") == ["ok"]


def test_certificates_of_others_are_told_apart(make_exam, agreed, laptop):
    simulators = SIMULATOR_CERTIFICATE.read_bytes()
    sandbox = replace(agreed, mpesa_env=MpesaEnv.SANDBOX, mpesa_certificate=simulators)
    assert codes(make_exam(sandbox), "initiator") == ["certificate_of_simulator"]
    assert codes(make_exam(laptop), "initiator") == ["ok"]
    strange = replace(agreed, mpesa_certificate=rsa_certificate("duka.co.ke"))
    code, sentence = only_line(make_exam(strange), "initiator")
    assert (code, "CN=duka.co.ke" in sentence) == ("certificate_of_stranger", True)
    other = replace(agreed, mpesa_certificate=rsa_certificate("apicrypt.safaricom.co.ke"))
    report = look(make_exam(other), "initiator")
    assert [(line.code, line.level) for line in report.lines] == [
        ("certificate_of_sandbox", "warning")
    ]
    fitting = replace(other, mpesa_env=MpesaEnv.SANDBOX)
    assert codes(make_exam(fitting), "initiator") == ["ok"]


# --- questions and their results ---


@pytest.fixture
def safaricom(merchant, database, clock, time):
    """Answers the question that is out, while somebody waits for it."""

    def answer(code, *, of_queue=False):
        def deliver():
            time.on_pause = lambda: None
            with database.transaction() as session:
                request = session.scalars(select(MpesaRequest)).one()
                ids = NamedIds(request.conversation_id, request.originator_id)
                if of_queue:
                    note_given_up(session, request.id, ids, clock())
                else:
                    note_answer(session, request.id, Answer(code, "as it is", ids), clock())

        time.on_pause = deliver

    return answer


@pytest.mark.parametrize("result", ["2032", "0", "R000002"])
def test_who_is_told_that_there_is_no_such_receipt_was_accepted(
    make_exam, agreed, safaricom, merchant, said, database, result
):
    safaricom(result)
    code, sentence = only_line(make_exam(agreed), "status")
    assert code == "ok"
    assert sentence == (
        "The initiator may ask for the status of transactions, and Safaricom's results reach this"
        " shop."
    )
    (ask,) = merchant.status_asks
    assert (ask.receipt, ask.conversation_id, ask.of_payout) == ("ZZZ0000000", None, False)
    assert ask.result_url.startswith("https://duka.co.ke/api/pay/result/1.")
    assert len(said) == 1
    with database.reading() as session:
        (request,) = session.scalars(select(MpesaRequest))
    assert (request.kind, request.state, request.receipt) == ("status", "answered", "ZZZ0000000")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ("2001", "initiator_credential"),
        ("18", "initiator_credential"),
        ("20", "initiator_unknown"),
        ("8006", "initiator_locked"),
        ("21", "initiator_role"),
        ("TP40153", "initiator_role"),
        ("2028", "initiator_refused"),
        ("11", "initiator_refused"),
        ("17", "result_unclear"),
        ("26", "result_unclear"),
        ("5555", "result_unclear"),
    ],
)
def test_why_the_initiator_is_not_accepted_is_told(make_exam, agreed, safaricom, result, code):
    safaricom(result)
    found, sentence = only_line(make_exam(agreed), "status")
    assert (found, f"result {result}" in sentence) == (code, True), sentence
    assert PASSWORD not in sentence


@pytest.mark.parametrize("result", sorted(MERCHANT_RESULT_CODES))
def test_every_known_result_is_judged(make_exam, agreed, safaricom, result):
    safaricom(result)
    assert len(codes(make_exam(agreed), "status")) == 1


def test_a_question_that_m_pesas_queue_gave_up_is_a_warning(make_exam, agreed, safaricom):
    safaricom("", of_queue=True)
    assert codes(make_exam(agreed), "status") == ["result_given_up"]


def test_a_result_that_does_not_come_is_waited_for_so_long(make_exam, agreed, time):
    began = time.seconds
    code, sentence = only_line(make_exam(agreed), "status")
    assert (code, "did not come within 45 s" in sentence) == ("result_unheard", True)
    assert time.seconds - began == 45


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MpesaMisconfigured("no apiproduct match", code="401.003.01"), "product_missing"),
        (
            MpesaRefused("400.002.02: Bad Request - Invalid ResultURL", code="400.002.02"),
            "callback_refused",
        ),
        (
            MpesaMisconfigured("400.002.02: Bad Request - Invalid Initiator", code="400.002.02"),
            "question_refused",
        ),
        (MpesaBusy("Spike arrest"), "gateway_busy"),
        (MpesaUncertain("No answer"), "question_uncertain"),
    ],
)
def test_a_question_that_was_not_taken_is_not_waited_for(
    make_exam, agreed, merchant, time, error, code
):
    merchant.errors["ask_status"] = error
    began = time.seconds
    assert codes(make_exam(agreed), "status") == [code]
    assert (len(merchant.status_asks), time.seconds) == (1, began)


def test_balances_are_asked_for_only_if_wanted(make_exam, agreed, merchant, safaricom, database):
    before = database_snapshot(database)
    assert codes(make_exam(agreed), "balance") == ["skipped"]
    assert (merchant.balance_asks, database_snapshot(database)) == ([], before)
    safaricom("21")
    code, sentence = only_line(make_exam(agreed, balance=True), "balance")
    assert (code, "Balance Query ORG API" in sentence) == ("initiator_role", True)
    with database.reading() as session:
        assert session.scalars(select(MpesaRequest.kind)).all() == [RequestKind.BALANCE]


# --- payments from the menu ---


def confirm(database, when) -> None:
    with database.transaction() as session:
        keep_message(session, ReceivedMessage(InboxSource.C2B_CONFIRMATION, b"{}", {}, None), when)


def sell(database, when=NOW) -> None:
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session, stock=5), 1), now=when)
        pay(session, ask_to_pay(session, order, now=when), now=when)


def test_before_anything_was_paid_nobody_can_know(make_exam, live):
    assert codes(make_exam(live), "confirmations") == ["skipped"]


def test_payments_without_a_confirmation_are_a_warning(make_exam, live, database):
    sell(database)
    assert codes(make_exam(live), "confirmations") == ["confirmations_never"]
    confirm(database, NOW)
    assert only_line(make_exam(live), "confirmations") == (
        "ok",
        "The last confirmation came 2026-11-22T09:00:00Z.",
    )


def test_confirmations_that_stopped_are_a_warning(make_exam, live, database):
    confirm(database, NOW - timedelta(days=1))
    sell(database)
    assert codes(make_exam(live), "confirmations") == ["ok"]
    sell(database, NOW + timedelta(seconds=1))
    code, sentence = only_line(make_exam(live), "confirmations")
    assert (code, "came 2026-11-21T09:00:00Z, and" in sentence) == ("confirmations_stopped", True)


def row(receipt) -> PulledRow:
    return PulledRow(receipt, 1000, NOW - timedelta(hours=1), "254", "", "Pay Bill", "")


def test_the_list_of_payments_is_read(make_exam, live, merchant, database):
    assert codes(make_exam(live), "pull") == ["skipped"]
    pulling = replace(live, mpesa_pull=True)
    code, sentence = only_line(make_exam(pulling), "pull")
    assert (code, "says the same where nobody is registered" in sentence) == ("ok", True)
    assert merchant.pulls == [(NOW - timedelta(hours=24), NOW, 0)]
    sell(database)
    report = look(make_exam(pulling), "pull")
    assert [(line.code, line.level) for line in report.lines] == [("pull_empty", "warning")]
    merchant.listed = [row("UKM1"), None]
    assert only_line(make_exam(pulling), "pull") == (
        "ok",
        "The list of payments shows 2 of the last 24 hours.",
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MpesaMisconfigured("no product", code="401.001"), "product_missing"),
        (MpesaBusy("Spike arrest"), "gateway_busy"),
        (MpesaRefused("Bad Request", code="400.002.02"), "pull_refused"),
        (MpesaUnavailable("No answer"), "pull_unavailable"),
    ],
)
def test_why_the_list_cannot_be_read_is_told(make_exam, live, merchant, error, code):
    merchant.errors["pull"] = error
    assert codes(make_exam(replace(live, mpesa_pull=True)), "pull") == [code]
