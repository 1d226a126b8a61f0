import json

import httpx2
import pytest
from daraja_fakes import CHECKOUT_ID, UNHURRIED, FakeDaraja, Moment, client_of, envelope
from hypothesis import given
from hypothesis import strategies as st

from app.integrations.mpesa import FINAL_FAILURES, RESULT_CODES, explain, read_stk_query
from app.integrations.mpesa.result_codes import FailureStatus
from app.ports import PushStatus, Verdict


def answer(**changes):
    return {
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successsfully",
        "MerchantRequestID": "22205-34066-1",
        "CheckoutRequestID": CHECKOUT_ID,
        "ResultCode": "1032",
        "ResultDesc": "Request cancelled by user",
        **changes,
    }


def test_a_query_sends_what_the_manual_asks_for():
    fake = FakeDaraja((200, answer()))
    status = client_of(fake).query(CHECKOUT_ID)
    assert status == PushStatus(Verdict.FAILED, "1032", "Request cancelled by user")
    (request,) = fake.requests
    assert request.url == "https://daraja.example/mpesa/stkpushquery/v1/query"
    assert sorted(json.loads(request.content)) == [
        "BusinessShortCode",
        "CheckoutRequestID",
        "Password",
        "Timestamp",
    ]


@pytest.mark.parametrize("code", ["0", 0, " 0 "])
def test_zero_is_paid(code):
    paid = read_stk_query(200, answer(ResultCode=code, ResultDesc="Done."), CHECKOUT_ID)
    assert paid == PushStatus(Verdict.PAID, "0", "Done.")


FINAL = "1 2 3 4 8 17 26 1001 1019 1025 1031 1032 1036 1037 2001 2006 2028 8006 9999 SFC_IC0003"


def test_the_codes_that_are_final_in_a_query_are_these():
    assert set(FINAL.split()) == FINAL_FAILURES


@pytest.mark.parametrize("code", FINAL.split())
def test_a_code_known_to_be_final_is_failed(code):
    assert read_stk_query(200, answer(ResultCode=code), CHECKOUT_ID).verdict is Verdict.FAILED
    if code.isdigit():
        number = answer(ResultCode=int(code))
        assert read_stk_query(200, number, CHECKOUT_ID).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (200, answer(ResultCode="4999"), "4999"),
        (200, answer(ResultCode=4999), "4999"),
        (200, answer(ResultCode="2029"), "2029"),
        (200, answer(ResultCode="5555"), "5555"),
        (200, answer(ResultCode=""), None),
        (200, answer(ResultCode=None), None),
        (200, answer(ResultCode=False), None),
        (200, answer(ResultCode=0.0), None),
        (200, answer(ResultCode=["0"]), None),
        (200, answer(ResultCode="0\u0660"), None),
        (200, answer(ResponseCode="1", ResultCode="0"), None),
        (200, answer(ResponseCode=None, ResultCode="0"), None),
        (200, answer(CheckoutRequestID="ws_CO_another", ResultCode="0"), None),
        (200, answer(CheckoutRequestID=None, ResultCode="0"), None),
        (200, answer(errorCode="500.001.1001", ResultCode="0"), None),
        (200, answer(fault={}, ResultCode="0"), None),
        (201, answer(ResultCode="0"), None),
        (500, answer(ResultCode="0"), None),
        (500, envelope("500.001.1001", "The transaction is being processed"), None),
        (500, envelope("500.001.1001", "The transaction does not Exist"), None),
        (400, envelope("400.002.02", "Bad Request - Invalid CheckoutRequestID"), None),
        (200, {}, None),
        (200, None, None),
        (200, [], None),
        (200, "0", None),
    ],
)
def test_everything_else_is_no_verdict(status, document, code):
    read = read_stk_query(status, document, CHECKOUT_ID)
    assert read.verdict is Verdict.NONE
    assert read.result_code == code
    assert read.result_desc


def test_an_envelope_says_why_there_is_no_verdict():
    fake = FakeDaraja((500, envelope("500.001.1001", "The transaction is being processed")))
    status = client_of(fake).query(CHECKOUT_ID)
    reason = "HTTP 500: 500.001.1001: The transaction is being processed"
    assert status == PushStatus(Verdict.NONE, None, reason)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.ConnectTimeout("slow"),
        httpx2.ReadTimeout("silence"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("cut"),
        (200, b"<html>"),
        (302, b""),
        (502, b"<html>"),
        (200, b'{"ResultCode": NaN}'),
    ],
)
def test_trouble_on_the_way_is_no_verdict(trouble):
    status = client_of(FakeDaraja(trouble)).query(CHECKOUT_ID)
    assert status.verdict is Verdict.NONE
    assert status.result_code is None
    assert status.result_desc


def test_no_token_is_no_verdict():
    fake = FakeDaraja(tokens=[(401, b"")])
    assert client_of(fake).query(CHECKOUT_ID).verdict is Verdict.NONE
    assert fake.requests == []


@pytest.mark.parametrize(
    ("busy", "pause_seconds"),
    [
        ((429, b""), 60),
        ((429, b"", {"Retry-After": "120"}), 120),
        ((429, b"", {"Retry-After": "0"}), 60),
        ((500, envelope("500.003.02", "Error Occurred: Spike Arrest Violation")), 60),
        ((500, envelope("500.003.03", "Quota Violation")), 60),
    ],
)
def test_after_a_rate_signal_queries_rest(busy, pause_seconds):
    moment = Moment()
    fake = FakeDaraja(busy, (200, answer()))
    client = client_of(fake, moment=moment)
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE
    moment.move(pause_seconds - 1)
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE
    assert len(fake.requests) == 1
    moment.move(1)
    assert client.query(CHECKOUT_ID).verdict is Verdict.FAILED
    assert len(fake.requests) == 2


def test_a_rate_signal_on_the_token_rests_queries_too():
    moment = Moment()
    fake = FakeDaraja((200, answer()), tokens=[(429, b"")])
    client = client_of(fake, moment=moment)
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE
    assert len(fake.token_requests) == 1


def test_a_reading_never_shows_the_phone_that_the_id_holds():
    document = envelope("500.001.1001", f"The transaction {CHECKOUT_ID} does not Exist")
    assert "712345678" not in read_stk_query(500, document, CHECKOUT_ID).result_desc


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("0"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
fields = st.sampled_from(
    ["ResponseCode", "ResultCode", "ResultDesc", "CheckoutRequestID", "errorCode", "fault"]
)


@UNHURRIED
@given(
    st.integers(100, 599),
    json_values | st.dictionaries(fields, json_values | st.just(CHECKOUT_ID)),
)
def test_a_reading_never_raises_and_never_says_paid_without_every_sign(status, document):
    read = read_stk_query(status, document, CHECKOUT_ID)
    if read.verdict is not Verdict.NONE:
        assert status == 200
        assert document["CheckoutRequestID"] == CHECKOUT_ID
        assert str(document["ResponseCode"]).strip() == "0"
        assert str(document["ResultCode"]).strip() == read.result_code


def test_only_1032_is_cancelled_and_our_own_faults_alert():
    cancelled = {code for code, row in RESULT_CODES.items() if row.status == "cancelled"}
    assert cancelled == {"1032"}
    alerts = {code for code, row in RESULT_CODES.items() if row.alert}
    assert alerts == {"8", "2028", "SFC_IC0003"}
    not_final = {code for code, row in RESULT_CODES.items() if not row.final_in_query}
    assert not_final == {"4999", "2029"}
    hopeless = {code for code, row in RESULT_CODES.items() if not row.retry}
    assert hopeless == {"2", "3", "4", "8", "2006", "2028", "8006", "SFC_IC0003"}


@pytest.mark.parametrize("code", list(RESULT_CODES))
def test_every_code_tells_the_payer_something_to_do(code):
    row = explain(code)
    assert row.code == code
    assert row.customer_message.endswith(".")
    assert len(row.customer_message) <= 180
    words = ("try again", "another way", "contact us")
    assert any(word in row.customer_message.lower() for word in words)
    assert row.status in {FailureStatus.FAILED, FailureStatus.CANCELLED}


def test_an_unknown_code_has_failed_but_proves_nothing_in_a_query():
    row = explain("5555")
    assert (row.code, row.status, row.final_in_query) == ("5555", FailureStatus.FAILED, False)
    assert "another way to pay" in row.customer_message


def test_success_is_not_explained_as_a_failure():
    with pytest.raises(ValueError, match="success"):
        explain("0")
