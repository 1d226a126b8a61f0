"""Reversals, payouts and questions: what is sent, what is acceptance, and what is certain after."""

import base64
import json
import ssl
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from daraja_fakes import NOON, TOKEN, FakeDaraja, Moment, envelope, settings
from merchant_fakes import (
    ACKNOWLEDGED,
    CERTIFICATE,
    CONVERSATION_ID,
    balance,
    initiator,
    merchant,
    merchant_client,
    payout,
    reversal,
    status,
)

import daraja_simulator
from app.integrations.mpesa import (
    MerchantClient,
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
    security_credential,
)
from app.ports import MerchantGateway, RequestAccepted

ACCEPTED = RequestAccepted(CONVERSATION_ID, "f1e2-4b95-a71d-b30d3cdbb7a7735297")
ASKS = {
    "reverse": reversal(),
    "pay_out": payout(),
    "ask_status": status(),
    "ask_balance": balance(),
}
REPORTED = {
    "Remarks": "Order SK-1024",
    "QueueTimeOutURL": "https://shop.example/api/pay/timeout/7.secret",
    "ResultURL": "https://shop.example/api/pay/result/7.secret",
}


def call(client, name):
    return getattr(client, name)(ASKS[name])


def sent(fake):
    """The one body, without its credential, which has been looked at."""
    (body,) = fake.bodies
    assert decrypt(body.pop("SecurityCredential")) == b"password-of-ours"
    return body


def decrypt(credential):
    pem = Path(daraja_simulator.__file__).with_name("private_key.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    return key.decrypt(base64.b64decode(credential), padding.PKCS1v15())


def test_the_client_is_the_port():
    gateway: MerchantGateway = merchant_client(FakeDaraja())
    assert isinstance(gateway, MerchantClient)


def test_a_reversal_asks_for_the_whole_payment_in_safaricoms_spelling():
    fake = FakeDaraja((200, ACKNOWLEDGED))
    assert merchant_client(fake).reverse(reversal()) == ACCEPTED
    (request,) = fake.requests
    assert request.method == "POST"
    assert request.url == "https://daraja.example/mpesa/reversal/v1/request"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}1"
    assert sent(fake) == {
        "Initiator": "sokoni",
        "CommandID": "TransactionReversal",
        "TransactionID": "SG632NMUAB",
        "Amount": "1500",
        "ReceiverParty": "174379",
        "RecieverIdentifierType": "11",
        **REPORTED,
    }


@pytest.mark.parametrize(
    ("cents", "text"),
    [(1, "0.01"), (10, "0.10"), (100, "1"), (150050, "1500.50"), (99_999_999_99, "99999999.99")],
)
def test_a_reversal_is_exact_to_the_cent(cents, text):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    merchant_client(fake).reverse(reversal(amount_cents=cents))
    assert fake.bodies[0]["Amount"] == text


def test_a_payout_carries_our_id_and_leaves_the_shortcode_for_payouts():
    fake = FakeDaraja((200, {**ACKNOWLEDGED, "OriginatorConversationID": "sokoni-refund-31"}))
    accepted = merchant_client(fake).pay_out(payout())
    assert accepted == RequestAccepted(CONVERSATION_ID, "sokoni-refund-31")
    assert fake.requests[0].url == "https://daraja.example/mpesa/b2c/v3/paymentrequest"
    assert sent(fake) == {
        "OriginatorConversationID": "sokoni-refund-31",
        "InitiatorName": "sokoni",
        "CommandID": "BusinessPayment",
        "Amount": "1500",
        "PartyA": "3012345",
        "PartyB": "254712345678",
        "Occassion": "Order SK-1024",
        **REPORTED,
    }


@pytest.mark.parametrize("status_code", [500, 200, 400])
@pytest.mark.parametrize(
    "text",
    ["Duplicate OriginatorConversationID.", "[B2C] - DUPLICATE OriginatorConversationId"],
)
def test_a_payout_that_safaricom_had_before_is_accepted(status_code, text):
    fake = FakeDaraja((status_code, envelope("500.002.1001", text)))
    assert merchant_client(fake).pay_out(payout()) == RequestAccepted("", "sokoni-refund-31")
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("500.002.1001", "Service is currently under maintenance. Please try again later"),
        ("500.003.1001", "Duplicate OriginatorConversationID."),
    ],
)
def test_only_code_and_text_together_make_a_duplicate(code, text):
    with pytest.raises(MpesaUncertain):
        merchant_client(FakeDaraja((500, envelope(code, text)))).pay_out(payout())


@pytest.mark.parametrize("name", ["reverse", "ask_status", "ask_balance"])
def test_a_duplicate_of_anything_but_a_payout_is_no_acceptance(name):
    answer = (500, envelope("500.002.1001", "Duplicate OriginatorConversationID."))
    with pytest.raises(MpesaUncertain):
        call(merchant_client(FakeDaraja(answer)), name)


def test_a_status_question_names_the_receipt():
    fake = FakeDaraja((200, ACKNOWLEDGED))
    assert merchant_client(fake).ask_status(status()) == ACCEPTED
    assert fake.requests[0].url == "https://daraja.example/mpesa/transactionstatus/v1/query"
    assert sent(fake) == {
        "Initiator": "sokoni",
        "CommandID": "TransactionStatusQuery",
        "TransactionID": "SG632NMUAB",
        "PartyA": "174379",
        "IdentifierType": "4",
        "Occasion": "Order SK-1024",
        **REPORTED,
    }


def test_a_status_question_names_the_request_in_both_spellings_and_the_party_it_left():
    fake = FakeDaraja((200, ACKNOWLEDGED))
    asked = status(receipt=None, conversation_id="sokoni-refund-31", of_payout=True)
    assert merchant_client(fake).ask_status(asked) == ACCEPTED
    body = sent(fake)
    assert body["OriginalConversationID"] == "sokoni-refund-31"
    assert body["OriginatorConversationID"] == "sokoni-refund-31"
    assert body["PartyA"] == "3012345"
    assert "TransactionID" not in body


@pytest.mark.parametrize(("of_payouts", "party"), [(False, "174379"), (True, "3012345")])
def test_a_balance_question_names_the_shortcode(of_payouts, party):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    asked = balance(of_payouts=of_payouts, remarks="Order SK-1024")
    assert merchant_client(fake).ask_balance(asked) == ACCEPTED
    assert fake.requests[0].url == "https://daraja.example/mpesa/accountbalance/v1/query"
    assert sent(fake) == {
        "Initiator": "sokoni",
        "CommandID": "AccountBalance",
        "PartyA": party,
        "IdentifierType": "4",
        **REPORTED,
    }


AGAINST_THE_MANUAL = [
    ("reverse", reversal, {"receipt": ""}),
    ("reverse", reversal, {"receipt": "sg632nmuab"}),
    ("reverse", reversal, {"receipt": "SG632NMUAB\n"}),
    ("reverse", reversal, {"amount_cents": 0}),
    ("reverse", reversal, {"amount_cents": -100}),
    ("reverse", reversal, {"amount_cents": True}),
    ("reverse", reversal, {"amount_cents": 100.0}),
    ("reverse", reversal, {"remarks": "x"}),
    ("reverse", reversal, {"remarks": "x" * 101}),
    ("reverse", reversal, {"remarks": "50% off & more"}),
    ("reverse", reversal, {"result_url": "/api/pay/result"}),
    ("reverse", reversal, {"timeout_url": "ftp://shop.example/x"}),
    ("pay_out", payout, {"originator_id": ""}),
    ("pay_out", payout, {"originator_id": "a b"}),
    ("pay_out", payout, {"originator_id": "x" * 101}),
    ("pay_out", payout, {"msisdn": "0712345678"}),
    ("pay_out", payout, {"msisdn": "255712345678"}),
    ("pay_out", payout, {"amount_shillings": 0}),
    ("pay_out", payout, {"amount_shillings": "1500"}),
    ("pay_out", payout, {"amount_shillings": True}),
    ("ask_status", status, {"receipt": None}),
    ("ask_status", status, {"receipt": ""}),
    ("ask_status", status, {"conversation_id": "a b"}),
    ("ask_status", status, {"receipt": "", "conversation_id": "x"}),
    ("ask_balance", balance, {"remarks": ""}),
]


@pytest.mark.parametrize(("name", "build", "changes"), AGAINST_THE_MANUAL)
def test_an_ask_against_the_manual_is_refused_before_anything_is_sent(name, build, changes):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    with pytest.raises(ValueError, match="must") as caught:
        getattr(merchant_client(fake), name)(build(**changes))
    assert "secret" not in str(caught.value)
    assert (fake.requests, fake.token_requests) == ([], [])


def test_the_limits_themselves_are_allowed():
    fake = FakeDaraja((200, ACKNOWLEDGED))
    client = merchant_client(fake)
    client.reverse(reversal(receipt="ABC123", amount_cents=1, remarks="ok"))
    client.pay_out(payout(originator_id="x" * 100, amount_shillings=1, remarks="r" * 100))
    assert len(fake.requests) == 2


NOT_SET = {
    "reverse": "MPESA_INITIATOR_NAME, MPESA_INITIATOR_PASSWORD and MPESA_CERTIFICATE are not set",
    "pay_out": (
        "MPESA_B2C_SHORTCODE, MPESA_INITIATOR_NAME, MPESA_INITIATOR_PASSWORD and"
        " MPESA_CERTIFICATE are not set"
    ),
}
NOT_SET["ask_status"] = NOT_SET["ask_balance"] = NOT_SET["reverse"]


@pytest.mark.parametrize("name", ASKS)
def test_what_is_not_set_up_is_named_and_nothing_is_sent(name):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    bare = merchant(initiator=None, b2c_shortcode=None)
    with pytest.raises(MpesaMisconfigured) as caught:
        call(merchant_client(fake, agreed=bare), name)
    assert caught.value.certain is True
    assert str(caught.value) == f"Not sent: {NOT_SET[name]}"
    assert (fake.requests, fake.token_requests) == ([], [])


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("pay_out", payout()),
        ("ask_status", status(of_payout=True)),
        ("ask_balance", balance(of_payouts=True)),
    ],
)
def test_without_a_shortcode_for_payouts_all_else_still_works(name, asked):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    client = merchant_client(fake, agreed=merchant(b2c_shortcode=None))
    with pytest.raises(MpesaMisconfigured, match=r"^Not sent: MPESA_B2C_SHORTCODE is not set$"):
        getattr(client, name)(asked)
    assert fake.requests == []
    assert client.reverse(reversal()) == ACCEPTED


def with_key(kind):
    """The certificate, its key of another kind as the last byte of RSA's number says."""
    der = ssl.PEM_cert_to_DER_cert(CERTIFICATE.decode())
    rsa = bytes.fromhex("06092a864886f70d010101")
    assert der.count(rsa) == 1
    return ssl.DER_cert_to_PEM_cert(der.replace(rsa, rsa[:-1] + bytes([kind]))).encode()


def with_elliptic_key():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elliptic.invalid")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOON, NOON)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(
    "broken",
    [
        {"certificate": b"no certificate"},
        {"certificate": with_key(0x7F)},
        {"certificate": with_elliptic_key()},
        {"password": "x" * 246},
    ],
    ids=["no certificate", "an unknown key", "an elliptic key", "a long password"],
)
def test_an_initiator_that_cannot_work_is_our_fault_and_nothing_is_sent(name, broken):
    fake = FakeDaraja((200, ACKNOWLEDGED))
    client = merchant_client(fake, agreed=merchant(initiator=initiator(**broken)))
    with pytest.raises(MpesaMisconfigured, match="MPESA_CERTIFICATE") as caught:
        call(client, name)
    assert "xxx" not in f"{caught.value!r}"
    assert fake.requests == []


def test_a_credential_is_344_letters_and_never_twice_the_same():
    credentials = {security_credential("Safaricom999!*!", CERTIFICATE) for _ in range(3)}
    assert len(credentials) == 3
    assert {len(credential) for credential in credentials} == {344}
    assert {decrypt(credential) for credential in credentials} == {b"Safaricom999!*!"}
    assert decrypt(security_credential("ünsafe 🔑", CERTIFICATE)).decode() == "ünsafe 🔑"


SPIKE_FAULT = {
    "fault": {
        "faultstring": "Spike arrest violation. Allowed rate : 5ps",
        "detail": {"errorcode": "policies.ratelimit.SpikeArrestViolation"},
    }
}

REFUSALS = [
    (400, envelope("400.002.02", "Bad Request - Invalid TransactionID"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid RecieverIdentifierType"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid Remarks"), MpesaRefused),
    (400, envelope("400.002.05", "Invalid Request Payload"), MpesaRefused),
    (405, envelope("405.001", "B2C Method Not Allowed"), MpesaRefused),
    (403, b"<html>Forbidden</html>", MpesaRefused),
    (200, envelope("400.002.02", "Bad Request - Invalid Amount"), MpesaRefused),
    (400, envelope("400.002.02", "Bad Request - Invalid Initiator"), MpesaMisconfigured),
    (400, envelope("400.002.02", "Bad Request - Invalid InitiatorName"), MpesaMisconfigured),
    (400, envelope("400.002.02", "Bad Request - Invalid SecurityCredential"), MpesaMisconfigured),
    (404, envelope("404.001.01", "Resource not found"), MpesaMisconfigured),
    (404, envelope("404.002.01", "Resource not found"), MpesaMisconfigured),
    (500, envelope("500.003.02", "Error Occurred: Spike Arrest Violation"), MpesaBusy),
    (500, envelope("500.003.03", "Quota Violation"), MpesaBusy),
    (429, SPIKE_FAULT, MpesaBusy),
    # What may have been carried out.
    (500, envelope("500.001.1001", "Internal Server Error"), MpesaUncertain),
    (500, envelope("500.003.1001", "Internal Server Error"), MpesaUncertain),
    (500, envelope("500.003.1001", "Invalid Initiator"), MpesaUncertain),
    (200, {**ACKNOWLEDGED, "errorCode": "400.002.02"}, MpesaUncertain),
    (200, {"ConversationID": "AG_1", "errorCode": "400.002.02"}, MpesaUncertain),
    (200, {"OriginatorConversationID": "1-1", "errorCode": "400.002.02"}, MpesaUncertain),
    (500, {**ACKNOWLEDGED, "errorMessage": "System is busy"}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ResponseCode": "1"}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ResponseCode": "2001"}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ResponseCode": None}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ResponseCode": False}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ResponseCode": 0.0}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ConversationID": ""}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ConversationID": 7}, MpesaUncertain),
    (200, {**ACKNOWLEDGED, "ConversationID": "AG 1"}, MpesaUncertain),
    (200, {"ResponseCode": "0"}, MpesaUncertain),
    (500, ACKNOWLEDGED, MpesaUncertain),
    (200, {}, MpesaUncertain),
    (200, b"", MpesaUncertain),
    (200, b"[]", MpesaUncertain),
    (200, b"<html>OK</html>", MpesaUncertain),
    (200, b'{"ResponseCode": "0"', MpesaUncertain),
    (200, b'{"ResponseCode": "1", "ResponseCode": "0", "ConversationID": "AG"}', MpesaUncertain),
    (200, b"[" * 20_000, MpesaUncertain),
    (200, b"\xff\xfe{}", MpesaUncertain),
    (408, b"", MpesaUncertain),
    (500, b"", MpesaUncertain),
    (502, b"<html>Bad Gateway</html>", MpesaUncertain),
    (503, {"fault": {"faultstring": "The Service is temporarily unavailable"}}, MpesaUncertain),
    (504, b"", MpesaUncertain),
    (302, b"", MpesaUncertain),
]


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(("status_code", "body", "kind"), REFUSALS)
def test_every_answer_is_sorted_by_whether_money_may_be_moving(name, status_code, body, kind):
    fake = FakeDaraja((status_code, body))
    with pytest.raises(MpesaError) as caught:
        call(merchant_client(fake), name)
    assert type(caught.value) is kind
    assert caught.value.certain is (kind is not MpesaUncertain)
    assert caught.value.message.startswith(f"HTTP {status_code}")
    assert len(fake.requests) == 1


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError("refused"), MpesaUnavailable),
        (httpx2.ConnectTimeout("slow"), MpesaUnavailable),
        (httpx2.ReadTimeout("silence"), MpesaUncertain),
        (httpx2.WriteError("reset"), MpesaUncertain),
        (httpx2.RemoteProtocolError("gone"), MpesaUncertain),
    ],
)
def test_a_network_failure_is_certain_only_if_nothing_was_sent(name, error, kind):
    fake = FakeDaraja(error)
    with pytest.raises(MpesaError) as caught:
        call(merchant_client(fake), name)
    assert type(caught.value) is kind
    assert caught.value.certain is (kind is MpesaUnavailable)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {**ACKNOWLEDGED, "ResponseCode": 0},
        {**ACKNOWLEDGED, "ResponseCode": "00000000"},
    ],
)
def test_zero_is_zero_however_it_is_written(answer):
    assert merchant_client(FakeDaraja((200, answer))).reverse(reversal()) == ACCEPTED


@pytest.mark.parametrize("originator_id", [None, 7, "a b", ""])
def test_an_acceptance_needs_no_originators_id(originator_id):
    answer = {**ACKNOWLEDGED, "OriginatorConversationID": originator_id}
    accepted = merchant_client(FakeDaraja((200, answer))).reverse(reversal())
    assert accepted == RequestAccepted(CONVERSATION_ID, "")


def test_a_refusal_without_an_envelope_says_what_it_was_told():
    answer = {"ResponseCode": "2001", "ResponseDescription": "Unknown initiator 254712345678"}
    with pytest.raises(MpesaUncertain) as caught:
        merchant_client(FakeDaraja((200, answer))).reverse(reversal())
    assert str(caught.value) == "HTTP 200: 2001: Unknown initiator [number]"


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(
    ("status_code", "code", "text"),
    [
        (404, "404.001.03", "Invalid Access Token"),
        (401, "401.002.01", "Error Occurred - Invalid Access Token - abcdefghijklmnopqrstuvwxyz12"),
    ],
)
def test_a_refused_token_is_replaced_once_and_the_request_is_signed_anew(
    name, status_code, code, text
):
    fake = FakeDaraja((status_code, envelope(code, text)), (200, ACKNOWLEDGED))
    assert call(merchant_client(fake), name) == ACCEPTED
    tokens = [request.headers["Authorization"] for request in fake.requests]
    assert tokens == [f"Bearer {TOKEN}1", f"Bearer {TOKEN}2"]
    first, second = fake.bodies
    assert first.pop("SecurityCredential") != second.pop("SecurityCredential")
    assert first == second


@pytest.mark.parametrize("name", ASKS)
def test_a_product_that_is_not_on_the_app_is_our_fault_after_two_tries(name):
    text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
    fake = FakeDaraja((401, envelope("401.003.01", text)))
    with pytest.raises(MpesaMisconfigured) as caught:
        call(merchant_client(fake), name)
    assert caught.value.certain is True
    assert len(fake.requests) == 2


def test_no_error_and_no_repr_shows_a_secret():
    fake = FakeDaraja((500, envelope("500.003.1001", f"Oops {TOKEN}1 password-of-ours1234567")))
    with pytest.raises(MpesaUncertain) as caught:
        merchant_client(fake).pay_out(payout())
    shown = f"{caught.value} {caught.value!r} {initiator()!r} {merchant()!r} {settings()!r}"
    for secret in (TOKEN, "password-of-ours", "BEGIN CERTIFICATE"):
        assert secret not in shown


def test_an_answer_that_fails_again_and_again_opens_a_breaker_of_its_own():
    fake, moment = FakeDaraja((502, b"<html>")), Moment()
    client = merchant_client(fake, moment=moment, breaker_failures=2)
    for _ in range(2):
        with pytest.raises(MpesaUncertain):
            client.ask_balance(balance())
    with pytest.raises(MpesaUnavailable, match="failed too often") as caught:
        client.reverse(reversal())
    assert caught.value.certain is True
    assert len(fake.requests) == 2
    moment.move(31)
    fake.answers = [(200, ACKNOWLEDGED)]
    assert client.reverse(reversal()) == ACCEPTED


def test_a_client_closes_with_its_block():
    with merchant_client(FakeDaraja((200, ACKNOWLEDGED))) as client:
        client.reverse(reversal())
    with pytest.raises(RuntimeError, match="closed"):
        client.reverse(reversal())


def test_bodies_are_json_of_plain_texts():
    fake = FakeDaraja((200, ACKNOWLEDGED))
    client = merchant_client(fake)
    for name in ASKS:
        call(client, name)
    for request in fake.requests:
        assert all(isinstance(value, str) for value in json.loads(request.content).values())
