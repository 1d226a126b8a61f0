"""Safaricom's gateway: reached, in time, and taking key, secret, shortcode and passkey."""

from datetime import timedelta

import httpx2
import pytest

from app.cli.doctor.exam import Known
from app.db import Database
from app.integrations.mpesa.examiner import NOBODYS_PROMPT
from app.integrations.outside import Trouble, Unreached
from app.jobs.shared_token import SharedTokenStore, token_name
from app.ports import AccessToken
from tests.cli.doctor.conftest import TOKEN, codes, envelope, look, only_line, passed, sight

REFUSED_KEYS = envelope("400.008.01", "Invalid Authentication passed")
NOT_THERE = (500, envelope("500.001.1001", "The transaction does not Exist"))
WRONG = (500, envelope("500.001.1001", "[MerchantValidate] - Wrong credentials"))


@pytest.fixture
def database_kind(request) -> str:
    return getattr(request, "param", "sqlite")


both_databases = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)


def daraja_says(status, body=b"", **headers):
    return {"https://api.safaricom.co.ke": sight(status, body, **headers)}


# --- the way there ---


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, REFUSED_KEYS), (401, envelope("401.002.01", "Invalid credentials")), (400, b"")],
)
def test_a_gateway_that_refuses_to_speak_without_keys_is_safaricoms(
    make_exam, live, outside, status, body
):
    outside.answers = daraja_says(status, body)
    assert only_line(make_exam(live), "gateway") == ("ok", "api.safaricom.co.ke answers, in 12 ms.")
    ((method, url, headers, _),) = outside.looks
    assert (method, headers) == ("GET", {})
    assert url == ("https://api.safaricom.co.ke/oauth/v1/generate?grant_type=client_credentials")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Trouble.NAME, "(the name does not resolve): look at this machine's name service"),
        (Trouble.REFUSED, "(nobody listens there): look at MPESA_BASE_URL."),
        (Trouble.LATE, "(no answer came in time): a firewall may let nothing out"),
        (Trouble.BROKEN, "(the connection broke): look at the network"),
    ],
)
def test_a_gateway_out_of_reach_is_told_by_what_kept_us(make_exam, live, outside, trouble, words):
    outside.answers = {"https://api": Unreached(trouble, "as the system says")}
    code, sentence = only_line(make_exam(live), "gateway")
    assert code == "gateway_unreachable"
    assert f"api.safaricom.co.ke cannot be reached from here {words}" in sentence


def test_without_its_simulator_a_laptop_is_told_how_to_start_it(make_exam, laptop):
    code, sentence = only_line(make_exam(laptop), "gateway")
    assert code == "gateway_unreachable"
    assert "start the simulator (python -m daraja_simulator)" in sentence


def test_a_certificate_that_is_not_accepted_is_no_matter_of_reach(make_exam, live, outside):
    outside.answers = {"https://api": Unreached(Trouble.CERTIFICATE, "expired: it has expired")}
    code, sentence = only_line(make_exam(live), "gateway")
    assert (code, "(expired: it has expired)" in sentence) == ("gateway_untrusted", True)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (sight(302, location="https://wifi.example/login"), "HTTP 302, to https://wifi.example"),
        (sight(200, b"<html>Welcome", content_type="text/html; charset=x"), "200, text/html"),
        (sight(404, b"not here", content_type="text/plain"), "404, text/plain"),
        (sight(400, b'{"error": "no"}'), "HTTP 400, no type"),
        (sight(400, b'["errorCode"]'), "HTTP 400, no type"),
        (sight(200, b""), "HTTP 200, no type"),
    ],
)
def test_whoever_else_answers_is_told_from_safaricom(make_exam, live, outside, answer, words):
    outside.answers = {"https://api": answer}
    code, sentence = only_line(make_exam(live), "gateway")
    assert (code, words in sentence) == ("gateway_stranger", True), sentence


def test_a_gateway_in_trouble_is_left_alone(make_exam, live, outside):
    outside.answers = daraja_says(503, b"<html>")
    assert only_line(make_exam(live), "gateway") == (
        "gateway_down",
        "Safaricom is in trouble (HTTP 503): try again in a few minutes.",
    )


# --- the time ---


@pytest.mark.parametrize(
    ("date", "code", "words"),
    [
        ("Sun, 22 Nov 2026 09:00:00 GMT", "ok", "agrees with Safaricom's to 0 s"),
        ("Sun, 22 Nov 2026 12:00:00 +0300", "ok", "to 0 s; its time zone does not matter"),
        ("Sun, 22 Nov 2026 08:59:00 GMT", "ok", "to 60 s"),
        ("Sun, 22 Nov 2026 08:58:59 GMT", "clock_off", "clock is 61 s ahead of Safaricom's"),
        ("Sun, 22 Nov 2026 09:01:01 GMT", "clock_off", "clock is 61 s behind Safaricom's"),
        ("Sun, 22 Nov 2026 12:00:00 GMT", "clock_off", "clock is 10800 s behind"),
        ("yesterday", "skipped", "Safaricom has not told its time."),
    ],
)
def test_the_clock_is_held_against_safaricoms(make_exam, live, outside, date, code, words):
    outside.answers = daraja_says(400, REFUSED_KEYS, date=date)
    exam = make_exam(live)
    look(exam, "gateway")
    found, sentence = only_line(exam, "clock")
    assert (found, words in sentence) == (code, True), sentence


def test_a_gateway_out_of_reach_tells_no_time(make_exam, live):
    exam = make_exam(live)
    look(exam, "gateway")
    assert codes(exam, "clock") == ["skipped"]


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_the_clock_is_held_against_the_databases(make_exam, live):
    """The fake clock stands in November of 2026, the server's goes."""
    from app.utils.clock import utc_now

    exam = passed(make_exam(live), "database")
    assert codes(exam, "clock") == ["skipped", "database_clock_off"]
    exam.work.ports.clock.now = utc_now()
    assert codes(exam, "clock") == ["skipped"]
    exam.work.ports.clock.now += timedelta(seconds=90)
    sentence = look(exam, "clock").lines[1].sentence
    assert sentence.startswith(
        ("This machine's clock is 90 s ahead of the database", "This machine's clock is 89 s")
    )


# --- key and secret ---


def test_a_key_that_is_taken_gives_a_token(make_exam, live):
    exam = make_exam(live)
    exam.known = Known()
    assert only_line(exam, "token") == ("ok", "Key and secret are accepted.")
    assert exam.known.token.value == TOKEN.value


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ((400, REFUSED_KEYS), "token_refused", "400.008.01: Invalid Authentication passed"),
        ((400, b""), "token_refused", "HTTP 400"),
        ((401, envelope("401.002.01", "Invalid credentials")), "token_refused", "401.002.01"),
        ((503, b"<html>"), "token_unavailable", "HTTP 503"),
        ((200, {"expires_in": "3599"}), "token_unavailable", "the answer holds none"),
        (httpx2.ReadTimeout("too slow"), "token_unavailable", "ReadTimeout"),
        (
            (500, envelope("500.003.02", "Error Occurred: Spike Arrest Violation")),
            "gateway_busy",
            "Spike Arrest",
        ),
    ],
)
def test_why_there_is_no_token_is_told(make_exam, live, daraja, answer, code, words):
    daraja.token = answer
    exam = make_exam(live)
    exam.known = Known()
    found, sentence = only_line(exam, "token")
    assert (found, words in sentence) == (code, True), sentence
    assert exam.known.token is None
    assert "consumer-secret-of-our-own" not in sentence


def test_a_token_of_a_short_life_is_a_warning(make_exam, live, daraja):
    daraja.token = (200, {"access_token": TOKEN.value, "expires_in": "90"})
    assert codes(make_exam(live), "token") == ["token_short", "ok"]
    daraja.token = (200, {"access_token": TOKEN.value, "expires_in": "300"})
    assert codes(make_exam(live), "token") == ["ok"]


@both_databases
def test_the_new_token_is_kept_where_all_processes_find_it(make_exam, live, database, clock):
    exam = make_exam(live)
    assert codes(exam, "token_store") == ["ok"]
    name = token_name(live.mpesa_base_url, live.mpesa_consumer_key)
    assert SharedTokenStore(database, name, clock).read() == TOKEN


def test_a_token_from_a_machine_whose_clock_is_ahead_is_named(make_exam, live, database, clock):
    name = token_name(live.mpesa_base_url, live.mpesa_consumer_key)
    store = SharedTokenStore(database, name, clock)
    for minutes, code in ((61, "ok"), (90, "token_from_ahead")):
        store.write(AccessToken("another", clock() + timedelta(minutes=minutes)))
        assert codes(make_exam(live), "token_store") == [code]
        assert store.read() == TOKEN


def test_a_store_that_cannot_be_written_is_named(make_exam, live, tmp_path):
    exam = make_exam(live)
    exam.work = type(exam.work)(
        Database(f"sqlite:///{tmp_path}/without-tables.db"), exam.work.ports, exam.config
    )
    code, sentence = only_line(exam, "token_store")
    assert (code, "no such table: shared_tokens" in sentence) == ("token_store_broken", True)
    exam.work.database.dispose()


def test_without_a_token_nothing_that_needs_one_is_tried(make_exam, laptop, gateway, merchant):
    exam = make_exam(laptop, phone="254712345678", balance=True)
    assert (laptop.can_pull, laptop.can_ask_status) == (True, True)
    exam.known = Known()
    for name in ("token_store", "pair", "push", "pull", "status", "balance"):
        assert only_line(exam, name)[1].startswith("there is no ")
    assert (gateway.pushes, merchant.status_asks, merchant.pulls) == ([], [], [])


# --- shortcode and passkey ---


def test_a_passkey_is_proven_by_the_refusal_of_another(make_exam, live, daraja):
    daraja.answers = [NOT_THERE, WRONG]
    code, sentence = only_line(make_exam(live), "pair")
    assert (code, sentence[:53]) == ("ok", "The passkey belongs to 600123: another one was refuse")
    first, second = daraja.bodies
    assert first["CheckoutRequestID"] == second["CheckoutRequestID"] == NOBODYS_PROMPT
    assert first["BusinessShortCode"] == second["BusinessShortCode"] == 600123
    assert first["Password"] != second["Password"]


@pytest.mark.parametrize(
    "first",
    [
        (400, envelope("400.002.02", "Bad Request - Invalid CheckoutRequestID")),
        (200, {"ResponseCode": "0", "ResultCode": "4999", "ResultDesc": "under processing"}),
    ],
)
def test_whatever_else_the_first_answer_is_the_second_decides(make_exam, live, daraja, first):
    daraja.answers = [first, WRONG]
    assert codes(make_exam(live), "pair") == ["ok"]
    daraja.answers = [first, first]
    assert codes(make_exam(live), "pair") == ["pair_unproven"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (WRONG, "passkey_wrong"),
        ((500, envelope("500.001.1001", "Merchant does not exist")), "shortcode_unknown"),
        (
            (400, envelope("400.002.02", "Bad Request - Invalid BusinessShortCode")),
            "shortcode_refused",
        ),
        (
            (400, envelope("400.002.02", "Bad Request - Invalid Timestamp")),
            "timestamp_refused",
        ),
        (
            (
                401,
                envelope(
                    "401.003.01",
                    "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct"
                    " match found",
                ),
            ),
            "product_missing",
        ),
        ((404, envelope("404.001.03", "Invalid Access Token")), "token_not_taken"),
        ((429, {"fault": {"faultstring": "Spike arrest violation"}}), "gateway_busy"),
        ((502, b"<html>"), "pair_unproven"),
        (httpx2.ReadTimeout("too slow"), "pair_unproven"),
    ],
)
def test_each_mistake_with_shortcode_and_passkey_is_told_apart(
    make_exam, live, daraja, answer, code
):
    daraja.answers = [answer]
    found, sentence = only_line(make_exam(live), "pair")
    assert found == code
    assert "passkey-of-our-own" not in sentence
    assert len(daraja.bodies) == (2 if answer == (502, b"<html>") else 1)
