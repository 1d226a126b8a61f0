import base64
import json
from datetime import datetime

import httpx2
import pytest
from daraja_fakes import (
    ACCEPTED,
    CHECKOUT_ID,
    TOKEN,
    FakeDaraja,
    Moment,
    ask,
    client_of,
    envelope,
    settings,
)

from app.integrations.mpesa import (
    DarajaClient,
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
    stk_password,
)
from app.ports import GatewayError, PaymentGateway, PushAccepted
from app.utils.clock import EAT


def test_a_paybill_push_sends_what_the_manual_asks_for():
    fake = FakeDaraja()
    accepted = client_of(fake).push(ask())
    assert accepted == PushAccepted(
        merchant_request_id="2654-4b64-97ff-b827b542881d3130",
        checkout_request_id=CHECKOUT_ID,
        customer_message="Success. Request accepted for processing",
    )
    (request,) = fake.requests
    assert request.method == "POST"
    assert request.url == "https://daraja.example/mpesa/stkpush/v1/processrequest"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}1"
    assert request.headers["Accept-Encoding"] == "identity"
    timestamp = "20261122123000"
    assert json.loads(request.content) == {
        "BusinessShortCode": 174379,
        "Password": base64.b64encode(f"174379passkey-of-ours{timestamp}".encode()).decode(),
        "Timestamp": timestamp,
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 1500,
        "PartyA": 254712345678,
        "PartyB": 174379,
        "PhoneNumber": 254712345678,
        "CallBackURL": "https://shop.example/api/pay/cb/7.secret",
        "AccountReference": "SK-1024",
        "TransactionDesc": "Order",
    }


def test_a_till_push_names_the_store_as_shortcode_and_the_till_as_party_b():
    fake = FakeDaraja()
    client_of(fake, shortcode="5012345", till="987654").push(ask())
    (body,) = fake.bodies
    assert body["BusinessShortCode"] == 5012345
    assert body["PartyB"] == 987654
    assert body["TransactionType"] == "CustomerBuyGoodsOnline"
    password = base64.b64decode(body["Password"]).decode()
    assert password == f"5012345passkey-of-ours{body['Timestamp']}"


def test_the_password_fits_the_published_vector():
    passkey = "bfb279f9aa9bdbcf158e97dd71a467cd2e0c893059b10f78e6b72ada1ed2c919"
    moment = datetime(2018, 8, 14, 8, 56, 20, tzinfo=EAT)
    password = (
        "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4ZTZiNzJhZGExZWQy"
        "YzkxOTIwMTgwODE0MDg1NjIw"
    )
    assert stk_password("174379", passkey, moment) == ("20180814085620", password)


def test_a_moment_without_a_zone_makes_no_password():
    with pytest.raises(ValueError, match="zone"):
        stk_password("174379", "x", datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_client_is_the_port():
    gateway: PaymentGateway = client_of(FakeDaraja())
    assert isinstance(gateway, DarajaClient)
    assert issubclass(MpesaError, GatewayError)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_shillings": 0},
        {"amount_shillings": -1},
        {"amount_shillings": True},
        {"amount_shillings": 1.5},
        {"amount_shillings": "10"},
        {"msisdn": "0712345678"},
        {"msisdn": "255712345678"},
        {"msisdn": "254712345678\n"},
        {"msisdn": "\u0662\u0665\u0664712345678"},
        {"account_reference": ""},
        {"account_reference": "A" * 13},
        {"account_reference": "A#1"},
        {"account_reference": "Á"},
        {"description": ""},
        {"description": "A" * 14},
        {"description": "a & b"},
        {"callback_url": "/api/pay/cb"},
        {"callback_url": "ftp://shop.example/x"},
    ],
)
def test_an_ask_against_the_manual_is_refused_before_anything_is_sent(changes):
    fake = FakeDaraja()
    with pytest.raises(ValueError, match="must be"):
        client_of(fake).push(ask(**changes))
    assert fake.requests == []
    assert fake.token_requests == []


def test_the_limits_themselves_are_allowed():
    fake = FakeDaraja()
    client_of(fake).push(
        ask(amount_shillings=1, account_reference="ABC-12 45678", description="ABC-12 456789")
    )
    assert len(fake.requests) == 1


SPIKE_FAULT = {
    "fault": {
        "faultstring": "Spike arrest violation. Allowed rate : 5ps",
        "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"},
    }
}

REFUSALS = [
    (400, envelope("400.002.02", "Bad Request - Invalid BusinessShortCode"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid Timestamp"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid Amount"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid PhoneNumber"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid CallBackURL"), MpesaRefused),
    (400, envelope("400.002.05", "Invalid Request Payload"), MpesaRefused),
    (404, envelope("404.001.01", "Resource not found"), MpesaMisconfigured),
    (405, envelope("405.001", "Method Not Allowed"), MpesaRefused),
    (
        500,
        envelope("500.001.1001", "[MerchantValidate] - Wrong credentials"),
        MpesaMisconfigured,
    ),
    (500, envelope("500.001.001", "Wrong credentials"), MpesaMisconfigured),
    (500, envelope("500.001.1001", "Merchant does not exist"), MpesaMisconfigured),
    (
        500,
        envelope(
            "500.001.1001",
            "Unable to lock subscriber, a transaction is already in process for the current "
            "subscriber",
        ),
        MpesaPhoneBusy,
    ),
    (
        500,
        envelope("500.003.02", "System is busy. Please try again in few minutes"),
        MpesaBusy,
    ),
    (500, envelope("500.003.02", "Error Occurred: Spike Arrest Violation"), MpesaBusy),
    (500, envelope("500.003.03", "Quota Violation"), MpesaBusy),
    (429, SPIKE_FAULT, MpesaBusy),
    (500, SPIKE_FAULT, MpesaBusy),
    (429, b"slow down", MpesaBusy),
    (403, b"<html>Forbidden</html>", MpesaRefused),
    (400, b"", MpesaRefused),
    # An error envelope is an error whatever its status; a code says the same with any status.
    (200, envelope("400.002.02", "Bad Request - Invalid Amount"), MpesaRefused),
    (200, envelope("500.003.02", "System is busy. Please try again"), MpesaBusy),
    # What may have been carried out.
    (500, envelope("500.003.1001", "Internal Server Error"), MpesaUncertain),
    (500, envelope("500.001.1001", "The transaction is being processed"), MpesaUncertain),
    (500, envelope("500.003.02", "something new"), MpesaUncertain),
    (200, envelope("500.003.1001", "Internal Server Error"), MpesaUncertain),
    (200, {**ACCEPTED, "errorCode": "400.002.02"}, MpesaUncertain),
    (200, {**ACCEPTED, "ResponseCode": "1"}, MpesaUncertain),
    (200, {**ACCEPTED, "ResponseCode": False}, MpesaUncertain),
    (200, {**ACCEPTED, "ResponseCode": 0.0}, MpesaUncertain),
    (200, {**ACCEPTED, "CheckoutRequestID": ""}, MpesaUncertain),
    (200, {**ACCEPTED, "CheckoutRequestID": None}, MpesaUncertain),
    (200, {**ACCEPTED, "CheckoutRequestID": 7}, MpesaUncertain),
    (200, {"ResponseCode": "0"}, MpesaUncertain),
    (500, ACCEPTED, MpesaUncertain),
    (200, {}, MpesaUncertain),
    (200, b"", MpesaUncertain),
    (200, b"[]", MpesaUncertain),
    (200, b"null", MpesaUncertain),
    (200, b"<html>OK</html>", MpesaUncertain),
    (200, b'{"ResponseCode": "0"', MpesaUncertain),
    (200, b'{"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1", "x": NaN}', MpesaUncertain),
    (
        200,
        b'{"ResponseCode": "1", "ResponseCode": "0", "CheckoutRequestID": "ws_CO_1"}',
        MpesaUncertain,
    ),
    (200, b"[" * 20_000, MpesaUncertain),
    (200, b'{"x": ' + b"9" * 5000 + b"}", MpesaUncertain),
    (200, b"\xff\xfe{}", MpesaUncertain),
    (408, b"", MpesaUncertain),
    (500, b"", MpesaUncertain),
    (502, b"<html>Bad Gateway</html>", MpesaUncertain),
    (503, {"fault": {"faultstring": "The Service is temporarily unavailable"}}, MpesaUncertain),
    (503, {"fault": {"faultstring": 7, "detail": "x"}}, MpesaUncertain),
    (503, {"fault": "x", "errorCode": ["x"], "errorMessage": {}}, MpesaUncertain),
    (302, b"", MpesaUncertain),
]


@pytest.mark.parametrize(("status", "body", "kind"), REFUSALS)
def test_every_answer_is_sorted_by_whether_a_prompt_may_be_out(status, body, kind):
    fake = FakeDaraja((status, body))
    with pytest.raises(MpesaError) as caught:
        client_of(fake).push(ask())
    assert type(caught.value) is kind
    assert caught.value.certain is (kind is not MpesaUncertain)
    assert caught.value.message.startswith(f"HTTP {status}")
    assert caught.value.customer_message.endswith(".")
    assert len(fake.requests) == 1


def test_an_error_carries_its_code_and_says_what_to_do():
    fake = FakeDaraja((400, envelope("400.002.02", "Bad Request - Invalid PhoneNumber")))
    with pytest.raises(MpesaRefused) as caught:
        client_of(fake).push(ask())
    assert caught.value.code == "400.002.02"
    assert str(caught.value) == "HTTP 400: 400.002.02: Bad Request - Invalid PhoneNumber"
    assert "Safaricom number" in caught.value.customer_message

    fake = FakeDaraja((400, envelope("400.002.02", "Bad Request - Invalid Amount")))
    with pytest.raises(MpesaRefused, match="Amount") as caught:
        client_of(fake).push(ask())
    assert "amount" in caught.value.customer_message


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("99999", 3600), ("0", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 60), ("-1", 60)],
)
def test_a_busy_gateway_says_when_to_come_back(retry_after, seconds):
    fake = FakeDaraja((429, b"", {"Retry-After": retry_after}))
    with pytest.raises(MpesaBusy) as caught:
        client_of(fake).push(ask())
    assert caught.value.retry_after_seconds == seconds


def test_a_busy_phone_is_left_alone_for_a_minute():
    fake = FakeDaraja((500, envelope("500.001.1001", "Unable to lock subscriber")))
    with pytest.raises(MpesaPhoneBusy) as caught:
        client_of(fake).push(ask())
    assert caught.value.retry_after_seconds == 60


@pytest.mark.parametrize("code", ["0", 0])
def test_a_response_code_may_be_text_or_number(code):
    fake = FakeDaraja((200, {**ACCEPTED, "ResponseCode": code, "MerchantRequestID": 3}))
    accepted = client_of(fake).push(ask())
    assert accepted.checkout_request_id == CHECKOUT_ID
    assert accepted.merchant_request_id == ""


def test_an_acceptance_needs_no_message():
    fake = FakeDaraja((200, {"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1"}))
    assert client_of(fake).push(ask()) == PushAccepted("", "ws_CO_1", "")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError("refused"), MpesaUnavailable),
        (httpx2.ConnectTimeout("slow"), MpesaUnavailable),
        (httpx2.PoolTimeout("all taken"), MpesaUnavailable),
        (httpx2.LocalProtocolError("bad header"), MpesaUnavailable),
        (httpx2.ReadTimeout("silence"), MpesaUncertain),
        (httpx2.WriteTimeout("slow"), MpesaUncertain),
        (httpx2.WriteError("reset"), MpesaUncertain),
        (httpx2.ReadError("reset"), MpesaUncertain),
        (httpx2.RemoteProtocolError("gone"), MpesaUncertain),
        (httpx2.DecodingError("garbage"), MpesaUncertain),
    ],
)
def test_a_network_failure_is_certain_only_if_nothing_was_sent(error, kind):
    fake = FakeDaraja(error)
    with pytest.raises(MpesaError) as caught:
        client_of(fake).push(ask())
    assert type(caught.value) is kind
    assert caught.value.certain is (kind is MpesaUnavailable)
    assert len(fake.requests) == 1


def test_no_error_and_no_repr_shows_a_secret_or_a_whole_phone_number():
    echoed = f"Oops {TOKEN}1 for 254712345678 of {CHECKOUT_ID} (\x00\u202e)"
    fake = FakeDaraja((500, envelope("500.003.1001", echoed)))
    with pytest.raises(MpesaUncertain) as caught:
        client_of(fake).push(ask())
    shown = f"{caught.value} {caught.value!r} {settings()!r}"
    for secret in (TOKEN, "254712345678", "712345678", "secret-of-ours", "key-of-ours", "\x00"):
        assert secret not in shown
    assert repr(caught.value).startswith("MpesaUncertain('HTTP 500: 500.003.1001: Oops [hidden]")


def test_no_cookie_is_kept():
    fake = FakeDaraja((200, ACCEPTED, {"Set-Cookie": "visid=1; Path=/"}))
    client = client_of(fake)
    client.push(ask())
    client.push(ask())
    assert "Cookie" not in fake.requests[1].headers


def test_the_timestamp_follows_the_clock():
    fake, moment = FakeDaraja(), Moment()
    client = client_of(fake, moment=moment)
    client.push(ask())
    moment.move(3600 * 12)
    client.push(ask())
    assert [body["Timestamp"] for body in fake.bodies] == ["20261122123000", "20261123003000"]


def test_a_client_closes_with_its_block():
    with client_of(FakeDaraja()) as client:
        client.push(ask())
    with pytest.raises(RuntimeError, match="closed"):
        client.push(ask())
