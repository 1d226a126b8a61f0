"""A phone that may ring: what the end of its prompt says of the set-up."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.integrations.mpesa import (
    MpesaBusy,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaUncertain,
)
from app.integrations.mpesa.result_codes import RESULT_CODES
from app.models import DoctorProbe
from app.services.probes import Arrival, note_arrival
from app.utils.callback_secret import split_callback_token
from tests.cli.doctor.conftest import codes, look, only_line, passed
from tests.core import database_snapshot

PHONE = "254712345678"
CHECKOUT_ID = f"ws_CO_2211202612000000001{PHONE[-9:]}"


@pytest.fixture
def exam(make_exam, live):
    return make_exam(live, phone=PHONE)


@pytest.fixture
def till_exam(make_exam, live):
    return make_exam(replace(live, mpesa_till="5123456"), phone=PHONE)


def test_no_phone_rings_unless_one_is_named(make_exam, live, gateway, database):
    before = database_snapshot(database)
    assert codes(make_exam(live), "push") == ["skipped"]
    assert (gateway.pushes, database_snapshot(database)) == ([], before)


def test_one_shilling_is_asked_for_and_reported_to_a_probe(exam, gateway, said, database):
    gateway.says(CHECKOUT_ID, "0")
    assert codes(exam, "push") == ["ok"]
    (push,) = gateway.pushes
    assert (push.amount_shillings, push.msisdn) == (1, PHONE)
    assert (push.account_reference, push.description) == ("DOCTOR", "Doctor test")
    start, _, token = push.callback_url.rpartition("/")
    assert start == "https://duka.co.ke/api/pay/cb"
    number, secret = split_callback_token(token)
    assert (number, len(secret.value)) == (0, 64)
    assert len(said) == 1
    assert "2547****678" in said[0]
    with database.reading() as session:
        assert session.scalars(select(DoctorProbe)).all() == []


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ("0", "ok"),
        ("1", "ok"),
        ("1032", "ok"),
        ("1037", "ok"),
        ("2001", "ok"),
        ("2028", "paybill_is_till"),
        ("SFC_IC0003", "receiver_unknown"),
        ("8", "merchant_full"),
        ("17", "push_unclear"),
        ("1025", "push_unclear"),
        ("26", "push_unclear"),
    ],
)
def test_the_end_of_a_prompt_tells_of_a_paybill(exam, gateway, result, code):
    gateway.says(CHECKOUT_ID, result)
    assert codes(exam, "push") == [code]


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        ("1032", "ok", "so the pairing is right: 5123456 is a till of 600123."),
        ("2028", "till_is_paybill", "it is a paybill, so leave MPESA_TILL empty."),
        ("SFC_IC0003", "till_unknown", "5123456 is not a till of store 600123"),
    ],
)
def test_the_end_of_a_prompt_tells_of_a_till(till_exam, gateway, result, code, words):
    gateway.says(CHECKOUT_ID, result)
    found, sentence = only_line(till_exam, "push")
    assert (found, words in sentence) == (code, True), sentence


@pytest.mark.parametrize("result", sorted(RESULT_CODES))
def test_every_known_result_is_judged(exam, gateway, result):
    gateway.says(CHECKOUT_ID, result)
    assert len(codes(exam, "push")) == 1


def test_a_prompt_that_does_not_end_is_asked_about_for_a_while(exam, gateway, time):
    began = time.seconds
    assert codes(exam, "push") == ["push_unanswered"]
    assert set(gateway.queries) == {CHECKOUT_ID}
    assert len(gateway.queries) == 25
    assert time.seconds - began == 100


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MpesaPhoneBusy("locked"), "push_phone_busy"),
        (MpesaBusy("Spike arrest"), "gateway_busy"),
        (MpesaMisconfigured("no apiproduct match", code="401.003.01"), "product_missing"),
        (MpesaMisconfigured("Wrong credentials", code="500.001.1001"), "push_refused"),
        (
            MpesaRefused("HTTP 400: 400.002.02: Bad Request - Invalid CallBackURL"),
            "callback_refused",
        ),
        (MpesaRefused("HTTP 400: 400.002.02: Bad Request - Invalid PhoneNumber"), "push_refused"),
        (MpesaUncertain("No answer: ReadTimeout"), "push_uncertain"),
    ],
)
def test_a_prompt_that_was_not_taken_is_asked_about_no_more(exam, gateway, error, code, database):
    gateway.push_error = error
    assert codes(exam, "push") == [code]
    assert (len(gateway.pushes), gateway.queries) == (1, [])
    with database.reading() as session:
        assert session.scalars(select(DoctorProbe)).all() == []


def deliver(database, gateway, clock):
    """As the web server does when Safaricom's report arrives."""
    token = gateway.pushes[0].callback_url.rpartition("/")[2]
    _, secret = split_callback_token(token)
    with database.transaction() as session:
        arrival = Arrival("196.201.214.200", None, "0" * 64)
        note_arrival(session, secret, arrival, clock())


def test_a_report_that_arrives_is_told_with_its_sender(exam, gateway, database, clock, time):
    gateway.says(CHECKOUT_ID, "1032")
    pauses = iter(range(3))
    time.on_pause = lambda: next(pauses, None) == 1 and deliver(database, gateway, clock)
    report = look(passed(exam, "arrival"), "push")
    assert [line.code for line in report.lines] == ["ok", "ok"]
    assert report.lines[1].sentence == ("Safaricom's report of it arrived, from 196.201.214.200.")


def test_a_report_that_does_not_arrive_is_a_warning(exam, gateway):
    gateway.says(CHECKOUT_ID, "1032")
    report = look(passed(exam, "arrival"), "push")
    assert [(line.code, line.level) for line in report.lines] == [
        ("ok", "ok"),
        ("callback_unheard", "warning"),
    ]


def test_a_report_is_not_waited_for_where_our_own_did_not_arrive(exam, gateway, time):
    gateway.says(CHECKOUT_ID, "1032")
    began = time.seconds
    assert codes(exam, "push") == ["ok"]
    assert time.seconds - began == 4
