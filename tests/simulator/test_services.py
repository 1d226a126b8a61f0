"""Payouts, reversals, inquiries and transfers: what is taken, what is done, what is told."""

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from daraja_simulator.apis import ASYNCHRONOUS, Api
from daraja_simulator.config import Initiator
from daraja_simulator.initiators import open_credential
from daraja_simulator.service_outcomes import TABLE
from tests.simulator.shop import (
    B2B,
    B2C,
    BALANCE,
    PAYBILL,
    PHONE,
    REVERSAL,
    STATUS,
    TILL,
    parameters_of,
    seal,
)
from tests.simulator.test_tokens import assert_envelope

PREFIX = "25471234"
PATHS = {
    Api.B2C: B2C,
    Api.REVERSAL: REVERSAL,
    Api.STATUS: STATUS,
    Api.BALANCE: BALANCE,
    Api.B2B: B2B,
}


def pay(shop, phone=PHONE, amount=5, **changes):
    """The receipt of a payment that a customer made."""
    return shop.pay(phone, amount, **changes)["id"]


# --- acknowledgements and refusals ---


@pytest.mark.parametrize("path", PATHS.values())
def test_an_acknowledgement_is_printed_as_the_manual_does(shop, path):
    answer = shop.ask(path)
    assert answer.status_code == 200
    body = json.loads(answer.text)
    assert list(body) == [
        "OriginatorConversationID",
        "ConversationID",
        "ResponseCode",
        "ResponseDescription",
    ]
    if path == B2C:
        assert body["OriginatorConversationID"] == "refund-1"
    else:
        pattern = r"([0-9a-f]{4}-){3}[0-9a-f]{12}[0-9]{4,7}"
        assert re.fullmatch(pattern, body["OriginatorConversationID"])
    assert re.fullmatch(r"AG_20261122_[0-9a-f]{20}", body["ConversationID"])
    assert body["ResponseCode"] == "0"
    assert body["ResponseDescription"] == "Accept the service request successfully."
    assert shop.results == []


BAD_URLS = (..., "", "shop.example", 7)
BAD_FIELDS = {
    B2C: [
        ("OriginatorConversationID", ..., "", "a b"),
        ("InitiatorName", ..., "", None),
        ("SecurityCredential", ..., "", 7),
        ("CommandID", ..., "Dance", "businesspayment"),
        ("Amount", ..., "0", "1.5", "ten", -1),
        ("PartyA", ..., "12"),
        ("PartyB", ..., "0712345678", "600000"),
        ("Remarks", ..., "x", "x" * 101),
        ("QueueTimeOutURL", *BAD_URLS),
        ("ResultURL", *BAD_URLS),
        ("Occassion", "x" * 101),
    ],
    REVERSAL: [
        ("Initiator", ..., ""),
        ("SecurityCredential", ...),
        ("CommandID", ..., "Reversal"),
        ("TransactionID", ..., "short", "ukm1234567"),
        ("Amount", ..., "0", "0.00", "1.234", "ten"),
        ("ReceiverParty", ..., "12"),
        ("RecieverIdentifierType", ..., "4", ""),
        ("ResultURL", *BAD_URLS),
        ("QueueTimeOutURL", *BAD_URLS),
        ("Remarks", ..., "x"),
    ],
    STATUS: [
        ("Initiator", ...),
        ("SecurityCredential", ...),
        ("CommandID", ..., "AccountBalance"),
        ("TransactionID", ..., "short"),
        ("PartyA", ..., "12"),
        ("IdentifierType", ..., "11"),
        ("ResultURL", *BAD_URLS),
        ("QueueTimeOutURL", *BAD_URLS),
        ("Remarks", ...),
    ],
    BALANCE: [
        ("Initiator", ...),
        ("SecurityCredential", ...),
        ("CommandID", ...),
        ("PartyA", ..., PHONE),
        ("IdentifierType", ..., "x"),
        ("Remarks", ...),
        ("QueueTimeOutURL", *BAD_URLS),
        ("ResultURL", *BAD_URLS),
    ],
    B2B: [
        ("Initiator", ...),
        ("SecurityCredential", ...),
        ("CommandID", ..., "PayTaxToKRA"),
        ("SenderIdentifierType", ...),
        ("RecieverIdentifierType", ..., "11"),
        ("Amount", ..., "1.5"),
        ("PartyA", ...),
        ("PartyB", ..., PHONE),
        ("AccountReference", ..., "x" * 14),
        ("Requester", "0712345678"),
        ("Remarks", ...),
        ("QueueTimeOutURL", *BAD_URLS),
        ("ResultURL", *BAD_URLS),
        ("Occassion", "x" * 101),
    ],
}


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (path, name, value)
        for path, fields in BAD_FIELDS.items()
        for name, *values in fields
        for value in values
    ],
)
def test_a_bad_field_is_named(shop, path, name, value):
    answer = shop.ask(path, **{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")
    assert shop.get("requests") == {"requests": []}


@pytest.mark.parametrize("path", PATHS.values())
def test_the_first_bad_field_in_the_manuals_order_is_named(shop, path):
    names = [name for name in shop.service_body(path) if name not in {"Occasion", "Occassion"}]
    if path in {REVERSAL, STATUS}:  # their manual has the two addresses the other way round
        first, second = names.index("QueueTimeOutURL"), names.index("ResultURL")
        names[first], names[second] = names[second], names[first]
    if path == B2B:
        names.remove("Requester")  # may be missing
    while names:
        answer = shop.ask(path, **dict.fromkeys(names, ...))
        assert answer.json()["errorMessage"] == f"Bad Request - Invalid {names.pop(0)}"


def test_their_spelling_is_the_one_that_is_read(shop):
    changes = {"RecieverIdentifierType": ..., "ReceiverIdentifierType": "11"}
    answer = shop.ask(REVERSAL, **changes)
    text = "Bad Request - Invalid RecieverIdentifierType"
    assert_envelope(answer, 400, "400.002.02", text)


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        (B2C, {"Amount": 10, "PartyA": 174379, "PartyB": int(PHONE)}),
        (B2C, {"Occassion": ..., "Occasion": "other spelling"}),
        (REVERSAL, {"RecieverIdentifierType": 11, "Amount": 5.5}),
        (STATUS, {"TransactionID": ..., "OriginalConversationID": "x"}),
        (STATUS, {"TransactionID": "", "OriginatorConversationID": "x"}),
        (STATUS, {"OriginalConversationID": "x"}),
        (STATUS, {"PartyA": PHONE, "IdentifierType": 1, "Occasion": ...}),
        (B2B, {"CommandID": "BusinessBuyGoods", "AccountReference": ..., "Requester": ...}),
    ],
)
def test_what_clients_send_is_taken(shop, path, changes):
    shop.ask_accepted(path, **changes)


@pytest.mark.parametrize(
    ("path", "status", "code", "text"),
    [
        (B2C, 401, "401.002.01", "Error Occurred - Invalid Access Token - nonsense"),
        (B2B, 401, "401.002.01", "Error Occurred - Invalid Access Token - nonsense"),
        (BALANCE, 401, "401.002.01", "Error Occurred - Invalid Access Token - nonsense"),
        (STATUS, 400, "400.003.01", "Invalid Access Token"),
        (REVERSAL, 404, "404.001.03", "Invalid Access Token"),
    ],
)
def test_each_has_words_of_its_own_for_a_dead_token(shop, path, status, code, text):
    headers = {"Authorization": "Bearer nonsense"}
    answer = shop.client.post(shop.url(path), json=shop.service_body(path), headers=headers)
    assert_envelope(answer, status, code, text)


@pytest.mark.parametrize("api", ASYNCHRONOUS)
def test_an_app_may_lack_a_product(open_shop, api):
    shop = open_shop(missing_products=frozenset({api}))
    for other, path in PATHS.items():
        answer = shop.ask(path)
        if other is api:
            text = (
                "Error Occurred - Invalid Access Token - "
                "Invalid API call as no apiproduct match found"
            )
            assert_envelope(answer, 401, "401.003.01", text)
        else:
            assert answer.status_code == 200


def test_a_payout_has_two_versions_and_no_more(shop):
    body = shop.service_body(B2C, OriginatorConversationID=...)
    answer = shop.call("/mpesa/b2c/v1/paymentrequest", body)
    assert answer.status_code == 200
    assert answer.json()["OriginatorConversationID"]
    answer = shop.call("/mpesa/b2c/v2/paymentrequest", body)
    assert_envelope(answer, 404, "404.001.01", "Resource not found")


def test_strict_urls_hold_for_results_too(open_shop):
    shop = open_shop(strict_callback_urls=True)
    answer = shop.ask(BALANCE)
    assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid QueueTimeOutURL")


# --- payouts ---


def test_a_payout_is_printed_byte_for_byte(shop):
    ack = shop.ask_accepted(B2C)
    assert shop.movements() == []
    shop.simulator.advance(5)
    (movement,) = shop.movements()
    receipt = movement["receipt"]
    (received,) = shop.sink.received
    assert received.body.decode() == (
        '{"Result":{"ResultType":0,"ResultCode":0,'
        '"ResultDesc":"The service request is processed successfully.",'
        '"OriginatorConversationID":"refund-1",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        f'"TransactionID":"{receipt}",'
        '"ResultParameters":{"ResultParameter":['
        '{"Key":"TransactionAmount","Value":10},'
        f'{{"Key":"TransactionReceipt","Value":"{receipt}"}},'
        f'{{"Key":"ReceiverPartyPublicName","Value":"{PHONE} - {movement["name"]}"}},'
        '{"Key":"TransactionCompletedDateTime","Value":"22.11.2026 23:59:55"},'
        '{"Key":"B2CUtilityAccountAvailableFunds","Value":99990.00},'
        '{"Key":"B2CWorkingAccountAvailableFunds","Value":0.00},'
        '{"Key":"B2CRecipientIsRegisteredCustomer","Value":"Y"},'
        '{"Key":"B2CChargesPaidAccountAvailableFunds","Value":0.00}]},'
        '"ReferenceData":{"ReferenceItem":{"Key":"QueueTimeoutURL",'
        '"Value":"https://internalsandbox.safaricom.co.ke/mpesa/b2cresults/v1/submit"}}}}'
    )
    assert received.path == "/service/result"
    assert received.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert (movement["kind"], movement["amount"], movement["balance"]) == ("b2c", -10, 99_990)
    assert movement["originator_conversation_id"] == "refund-1"
    assert movement["conversation_id"] == ack["ConversationID"]
    assert shop.ledger() == []  # it is no payment of a customer's


def test_a_failure_has_no_parameters_and_a_receipt_of_noughts(shop):
    ack = shop.ask_accepted(B2C, Amount="100001")
    shop.simulator.advance(5)
    assert shop.sink.received[0].body.decode() == (
        '{"Result":{"ResultType":0,"ResultCode":1,'
        '"ResultDesc":"The balance is insufficient for the transaction.",'
        '"OriginatorConversationID":"refund-1",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        '"TransactionID":"UKM0000000",'
        '"ReferenceData":{"ReferenceItem":{"Key":"QueueTimeoutURL",'
        '"Value":"https://internalsandbox.safaricom.co.ke/mpesa/b2cresults/v1/submit"}}}}'
    )
    assert shop.movements() == []


def test_the_callers_id_is_taken_once(shop):
    shop.ask_accepted(B2C)
    answer = shop.ask(B2C, Amount="20")
    assert_envelope(answer, 500, "500.002.1001", "Duplicate OriginatorConversationID.")
    shop.simulator.advance(5)
    answer = shop.ask(B2C)
    assert_envelope(answer, 500, "500.002.1001", "Duplicate OriginatorConversationID.")
    assert [one["amount"] for one in shop.movements()] == [-10]
    shop.ask_accepted(B2C, OriginatorConversationID="refund-2")


def test_what_was_refused_may_be_sent_again_under_its_id(shop):
    shop.post("next", {"api": "b2c", "outcome": "system_busy"})
    assert shop.ask(B2C).json()["errorCode"] == "500.003.02"
    shop.ask_accepted(B2C)


@pytest.mark.parametrize(
    ("amount", "code"), [("9", 2), ("10", 0), ("250000", 1), ("250001", 3), ("100000", 0)]
)
def test_a_payout_keeps_within_limits_and_funds(shop, amount, code):
    assert shop.result_of(B2C, Amount=amount)["ResultCode"] == code
    assert len(shop.movements()) == (1 if code == 0 else 0)


def test_what_the_merchant_sends_out_it_cannot_send_again(open_shop):
    shop = open_shop(utility_balance=15)
    codes = [
        shop.result_of(B2C, OriginatorConversationID=f"refund-{number}")["ResultCode"]
        for number in range(2)
    ]
    assert codes == [0, 1]
    assert shop.balance()["utility"] == 5


def test_a_payout_may_cost_the_merchant_something(open_shop):
    shop = open_shop(utility_balance=50, payout_charge=15)
    result = parameters_of(shop.result_of(B2C))
    assert (result["B2CUtilityAccountAvailableFunds"]) == 25
    assert (result["B2CChargesPaidAccountAvailableFunds"]) == -15
    assert [(one["kind"], one["amount"]) for one in shop.movements()] == [
        ("b2c", -10),
        ("charge", -15),
    ]
    again = shop.result_of(B2C, OriginatorConversationID="refund-2", Amount=11)
    assert again["ResultCode"] == 1  # 26 are not 25
    status = shop.result_of(STATUS, TransactionID=shop.movements()[0]["receipt"])
    assert parameters_of(status)["DebitPartyCharges"] == "Fee For B2C Payment|KES|15.00"


# --- initiators ---


@pytest.fixture(scope="module")
def other_certificate():
    """A certificate of somebody else's, as one copied from a repository would be."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere.invalid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("path", [B2C, REVERSAL, STATUS, BALANCE, B2B])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("name", "unknown initiator"),
        ("password", "wrong password"),
        ("certificate", "not sealed with this certificate"),
        ("garbage", "not sealed with this certificate"),
    ],
)
def test_a_wrong_initiator_is_accepted_and_fails_in_the_result(
    shop, other_certificate, path, change, told
):
    name = "InitiatorName" if path == B2C else "Initiator"
    changes = {
        "name": {name: "somebody"},
        "password": {"SecurityCredential": seal("wrong")},
        "certificate": {"SecurityCredential": seal(certificate=other_certificate)},
        "garbage": {"SecurityCredential": "RC6E9WDx9X2c6z3gp0oC5Th=="},
    }
    ack = shop.ask_accepted(path, **changes[change])
    shop.simulator.advance(5)
    result = shop.results[-1]
    assert str(result["ResultCode"]) == "2001"
    assert result["ResultDesc"] == "The initiator information is invalid."
    request = shop.get(f"requests/{ack['ConversationID']}")
    assert (request["state"], request["credential"]) == ("failed", told)
    assert shop.movements() == []


def test_initiators_can_be_chosen(open_shop):
    shop = open_shop(initiators=(Initiator("shop", "own password"),))
    assert shop.result_of(B2C)["ResultCode"] == 2001
    changes = {"InitiatorName": "shop", "SecurityCredential": seal("own password")}
    result = shop.result_of(B2C, OriginatorConversationID="refund-2", **changes)
    assert result["ResultCode"] == 0


@pytest.mark.parametrize("path", PATHS.values())
def test_an_initiator_of_no_known_shortcode_is_of_no_organisation(shop, path):
    name = "ReceiverParty" if path == REVERSAL else "PartyA"
    assert shop.result_of(path, **{name: "600999"})["ResultCode"] == "TP40153"


def test_a_credential_is_opened_as_it_was_sealed():
    assert open_credential(seal("pä ss#&%$")) == "pä ss#&%$"
    for bad in ("", "x", "%%%", "A" * 344):
        assert open_credential(bad) is None


# --- reversals ---


def test_a_reversal_is_printed_byte_for_byte(shop):
    original = pay(shop, amount=5)
    ack = shop.ask_accepted(REVERSAL, TransactionID=original, Amount="5.00")
    shop.simulator.advance(5)
    payment, movement = shop.movements()
    assert shop.sink.received[-1].body.decode() == (
        '{"Result":{"ResultType":0,"ResultCode":0,'
        '"ResultDesc":"The service request is processed successfully.",'
        f'"OriginatorConversationID":"{ack["OriginatorConversationID"]}",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        f'"TransactionID":"{movement["receipt"]}",'
        '"ResultParameters":{"ResultParameter":['
        '{"Key":"DebitAccountBalance",'
        '"Value":"Utility Account|KES|100000.00|100000.00|0.00|0.00"},'
        '{"Key":"Amount","Value":5.00},'
        '{"Key":"TransCompletedTime","Value":20261122235956},'
        f'{{"Key":"OriginalTransactionID","Value":"{original}"}},'
        '{"Key":"Charge","Value":0.00},'
        f'{{"Key":"CreditPartyPublicName","Value":"{PHONE} - {movement["name"]}"}},'
        '{"Key":"DebitPartyPublicName","Value":"174379 - SIMULATED SHOP 379"}]},'
        '"ReferenceData":{"ReferenceItem":{"Key":"QueueTimeoutURL",'
        '"Value":"https://internalsandbox.safaricom.co.ke/mpesa/reversalresults/v1/submit"}}}}'
    )
    assert movement["receipt"] != original
    assert (movement["kind"], movement["amount"]) == ("reversal", -5)
    assert (movement["linked_receipt"], movement["phone"]) == (original, PHONE)
    assert (payment["receipt"], payment["reversed_by"]) == (original, movement["receipt"])
    assert shop.balance()["utility"] == 100_000


def test_a_paid_push_is_reversed_alike(shop):
    shop.push_accepted(merchant=TILL, amount=7)
    shop.simulator.advance(3)
    (payment,) = shop.ledger()
    result = shop.result_of(
        REVERSAL, TransactionID=payment["receipt"], Amount=7, ReceiverParty=TILL.till
    )
    assert result["ResultCode"] == 0
    assert shop.balance(TILL)["utility"] == 100_000


def test_a_payment_is_reversed_once(shop):
    original = pay(shop)
    codes = [shop.result_of(REVERSAL, TransactionID=original)["ResultCode"] for _ in range(2)]
    assert codes == [0, "R000001"]
    assert shop.results[-1]["ResultDesc"] == "The transaction has already been reversed."
    assert len(shop.movements()) == 2


def test_two_reversals_at_once_give_the_money_back_once(shop):
    original = pay(shop)
    for _ in range(2):
        shop.ask_accepted(REVERSAL, TransactionID=original)
    shop.simulator.advance(5)
    assert sorted(str(one["ResultCode"]) for one in shop.results) == ["0", "R000001"]
    assert len(shop.movements()) == 2


def test_what_is_not_a_customers_payment_to_that_merchant_is_not_known(shop):
    original = pay(shop)
    shop.result_of(B2C)
    payout = shop.movements()[-1]["receipt"]
    for receipt, party in [
        ("UKM0000000", "174379"),
        (payout, "174379"),
        (original, TILL.shortcode),
    ]:
        result = shop.result_of(REVERSAL, TransactionID=receipt, ReceiverParty=party)
        assert result["ResultCode"] == "R000002"
        assert result["ResultDesc"] == "The OriginalTransactionID is invalid."
        assert result["TransactionID"].endswith("0000000")
    assert len(shop.movements()) == 2


@pytest.mark.parametrize("amount", ["4", "4.99", "6"])
def test_a_reversal_of_another_amount_fails(shop, amount):
    original = pay(shop)
    assert shop.result_of(REVERSAL, TransactionID=original, Amount=amount)["ResultCode"] == 25
    assert len(shop.movements()) == 1


def test_money_that_was_sent_out_meanwhile_cannot_go_back(open_shop):
    shop = open_shop(utility_balance=0)
    original = pay(shop, amount=20)
    shop.result_of(B2C, Amount=15)
    assert shop.result_of(REVERSAL, TransactionID=original, Amount=20)["ResultCode"] == 1
    assert shop.balance()["utility"] == 5


def test_somebody_may_have_reversed_it_in_the_portal(shop):
    original = pay(shop)
    shop.post("next", {"api": "reversal", "outcome": "already_reversed"})
    assert shop.result_of(REVERSAL, TransactionID=original)["ResultCode"] == "R000001"
    payment, movement = shop.movements()
    assert payment["reversed_by"] == movement["receipt"]
    assert movement["originator_conversation_id"] is None


# --- transaction status ---


def test_a_status_is_printed_byte_for_byte(shop):
    receipt = pay(shop, amount=5)
    ack = shop.ask_accepted(STATUS, TransactionID=receipt)
    shop.simulator.advance(5)
    name = shop.ledger()[0]["name"]
    assert shop.sink.received[-1].body.decode() == (
        '{"Result":{"ResultType":0,"ResultCode":0,'
        '"ResultDesc":"The service request is processed successfully.",'
        f'"OriginatorConversationID":"{ack["OriginatorConversationID"]}",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        '"TransactionID":"UKM0000000",'
        '"ResultParameters":{"ResultParameter":['
        f'{{"Key":"DebitPartyName","Value":"{PHONE} - {name}"}},'
        '{"Key":"CreditPartyName","Value":"174379 - SIMULATED SHOP 379"},'
        '{"Key":"OriginatorConversationID"},'
        '{"Key":"InitiatedTime","Value":"20261122235950"},'
        '{"Key":"DebitAccountType","Value":"MMF Account For Customer"},'
        '{"Key":"DebitPartyCharges","Value":""},'
        '{"Key":"TransactionReason"},'
        '{"Key":"ReasonType","Value":"Pay Utility"},'
        '{"Key":"TransactionStatus","Value":"Completed"},'
        '{"Key":"FinalisedTime","Value":"20261122235951"},'
        '{"Key":"Amount","Value":"5.00"},'
        '{"Key":"ConversationID"},'
        f'{{"Key":"ReceiptNo","Value":"{receipt}"}}]}},'
        '"ReferenceData":{"ReferenceItem":{"Key":"Occasion","Value":"OK"}}}}'
    )


def test_an_unknown_receipt_does_not_exist(shop):
    result = shop.result_of(STATUS, Occasion=...)
    assert (result["ResultCode"], result["ResultDesc"]) == (
        2032,
        "The transaction receipt number does not exist.",
    )
    assert "ResultParameters" not in result
    assert result["ReferenceData"] == {"ReferenceItem": {"Key": "Occasion"}}


def test_a_receipt_of_another_merchant_does_not_exist(shop):
    receipt = pay(shop)
    result = shop.result_of(STATUS, TransactionID=receipt, PartyA=TILL.shortcode)
    assert result["ResultCode"] == 2032


def test_a_reversed_payment_says_so(shop):
    original = pay(shop)
    shop.result_of(REVERSAL, TransactionID=original)
    found = parameters_of(shop.result_of(STATUS, TransactionID=original))
    assert found["TransactionStatus"] == "Reversed"
    reversal = shop.movements()[-1]["receipt"]
    found = parameters_of(shop.result_of(STATUS, TransactionID=reversal))
    assert (found["TransactionStatus"], found["ReasonType"]) == (
        "Completed",
        "Organization Reversal via API",
    )
    assert found["DebitPartyName"] == "174379 - SIMULATED SHOP 379"


@pytest.mark.parametrize("name", ["OriginalConversationID", "OriginatorConversationID"])
@pytest.mark.parametrize("which", ["OriginatorConversationID", "ConversationID"])
def test_a_payout_is_found_by_either_id_under_either_name(shop, name, which):
    ack = shop.ask_accepted(B2C)
    asked = {"TransactionID": ..., name: ack[which]}
    shop.simulator.advance(5)
    found = parameters_of(shop.result_of(STATUS, **asked))
    assert found["ReceiptNo"] == shop.movements()[0]["receipt"]
    assert (found["TransactionStatus"], found["Amount"]) == ("Completed", "10.00")
    assert found["OriginatorConversationID"] == "refund-1"
    assert found["ConversationID"] == ack["ConversationID"]
    assert found["ReasonType"] == "Business Payment to Customer via API"


def test_a_payout_that_goes_on_is_not_found_yet(shop):
    shop.post("next", {"api": "b2c", "outcome": "result_late"})
    asked = {"TransactionID": ..., "OriginalConversationID": "refund-1"}
    shop.ask_accepted(STATUS, **asked)
    shop.simulator.advance(1)
    shop.ask_accepted(B2C)
    shop.simulator.advance(4)
    assert shop.results[-1]["ResultCode"] == 2032
    assert shop.result_of(STATUS, **asked)["ResultCode"] == 0


def test_a_payout_that_failed_is_found_without_a_receipt(shop):
    shop.result_of(B2C, Amount="200000")
    found = parameters_of(
        shop.result_of(STATUS, TransactionID=..., OriginalConversationID="refund-1")
    )
    assert (found["TransactionStatus"], found["ReceiptNo"]) == ("Failed", None)
    assert found["Amount"] == "200000.00"


@pytest.mark.parametrize("outcome", ["internal_failure", "unknown_code", "unknown_receiver"])
def test_a_payout_that_failed_for_whatever_reason_of_its_own_is_on_record(shop, outcome):
    shop.post("next", {"api": "b2c", "outcome": outcome})
    shop.result_of(B2C)
    asked = {"TransactionID": ..., "OriginalConversationID": "refund-1"}
    found = parameters_of(shop.result_of(STATUS, **asked))
    assert found["TransactionStatus"] == "Failed"


@pytest.mark.parametrize(
    "outcome", ["credential_locked", "duplicate_detected", "forgotten", "queue_timeout"]
)
def test_a_payout_that_never_came_to_money_is_not_found(shop, outcome):
    shop.post("next", {"api": "b2c", "outcome": outcome})
    shop.ask_accepted(B2C)
    shop.simulator.advance(5)
    asked = {"TransactionID": ..., "OriginalConversationID": "refund-1"}
    assert shop.result_of(STATUS, **asked)["ResultCode"] == 2032


def test_a_payout_of_another_merchant_is_not_found(shop):
    shop.result_of(B2C)
    asked = {"TransactionID": ..., "OriginalConversationID": "refund-1"}
    assert shop.result_of(STATUS, PartyA=TILL.shortcode, **asked)["ResultCode"] == 2032


@pytest.mark.parametrize("finds", [False, True])
def test_a_push_may_be_found_by_its_merchant_request_id(open_shop, finds):
    shop = open_shop(status_finds_express=finds)
    push = shop.push().json()
    asked = {"TransactionID": ..., "OriginalConversationID": push["MerchantRequestID"]}
    shop.simulator.advance(3)
    result = shop.result_of(STATUS, **asked)
    assert result["ResultCode"] == (0 if finds else 2032)
    if finds:
        found = parameters_of(result)
        assert found["ReceiptNo"] == shop.ledger()[0]["receipt"]
        assert found["ReasonType"] == "Pay Bill Online"


# --- balance and transfers ---


def test_a_balance_is_printed_byte_for_byte(open_shop):
    shop = open_shop(charge_percent=Decimal("0.55"))
    pay(shop, amount=1000)
    ack = shop.ask_accepted(BALANCE)
    shop.simulator.advance(5)
    assert shop.sink.received[-1].body.decode() == (
        '{"Result":{"ResultType":"0","ResultCode":"0",'
        '"ResultDesc":"The service request is processed successfully.",'
        f'"OriginatorConversationID":"{ack["OriginatorConversationID"]}",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        '"TransactionID":"UKM0000000",'
        '"ResultParameters":{"ResultParameter":['
        '{"Key":"AccountBalance","Value":"'
        "Working Account|KES|0.00|0.00|0.00|0.00"
        "&Float Account|KES|0.00|0.00|0.00|0.00"
        "&Utility Account|KES|100994.50|100994.50|0.00|0.00"
        "&Charges Paid Account|KES|-5.50|-5.50|0.00|0.00"
        '&Organization Settlement Account|KES|0.00|0.00|0.00|0.00"},'
        '{"Key":"BOCompletedTime","Value":20261122235956}]},'
        '"ReferenceData":{"ReferenceItem":{"Key":"QueueTimeoutURL",'
        '"Value":"https://internalsandbox.safaricom.co.ke/mpesa/abresults/v1/submit"}}}}'
    )


def test_a_balance_that_fails_still_has_parameters(shop):
    shop.post("next", {"api": "balance", "outcome": "8006"})
    result = shop.result_of(BALANCE)
    assert (result["ResultCode"], result["ResultType"]) == ("8006", "0")
    assert parameters_of(result) == {
        "ActionType": "AccountBalance",
        "ErrorMsg": "The security credential is locked. ",
        "BOCompletedTime": 20261122235955,
    }
    assert result["ReferenceData"] == {"ReferenceItem": {"Key": "QueueTimeoutURL"}}


def test_a_transfer_is_printed_byte_for_byte(shop):
    ack = shop.ask_accepted(B2B, Occassion=...)
    shop.simulator.advance(5)
    held = "{Amount={CurrencyCode=KES, MinimumAmount=9981000, BasicAmount=99810.00}}"
    (movement,) = shop.movements()
    assert shop.sink.received[-1].body.decode() == (
        '{"Result":{"ResultType":"0","ResultCode":"0",'
        '"ResultDesc":"The service request is processed successfully.",'
        f'"OriginatorConversationID":"{ack["OriginatorConversationID"]}",'
        f'"ConversationID":"{ack["ConversationID"]}",'
        f'"TransactionID":"{movement["receipt"]}",'
        '"ResultParameters":{"ResultParameter":['
        f'{{"Key":"DebitAccountBalance","Value":"{held}"}},'
        '{"Key":"Amount","Value":"190.00"},'
        '{"Key":"DebitPartyAffectedAccountBalance",'
        '"Value":"Utility Account|KES|99810.00|99810.00|0.00|0.00"},'
        '{"Key":"TransCompletedTime","Value":"20261122235955"},'
        '{"Key":"DebitPartyCharges","Value":""},'
        '{"Key":"ReceiverPartyPublicName","Value":"600000 - SIMULATED BUSINESS 000"},'
        '{"Key":"Currency","Value":"KES"},'
        f'{{"Key":"InitiatorAccountCurrentBalance","Value":"{held}"}}]}},'
        '"ReferenceData":{"ReferenceItem":['
        '{"Key":"BillReferenceNumber","Value":"353353"},'
        '{"Key":"QueueTimeoutURL",'
        '"Value":"https://internalsandbox.safaricom.co.ke/mpesa/b2bresults/v1/submit"},'
        '{"Key":"Occassion"}]}}}'
    )


@pytest.mark.parametrize(("amount", "code"), [("200000", "1"), ("250001", "3")])
def test_a_transfer_that_fails_has_one_parameter_in_place_of_a_list(shop, amount, code):
    result = shop.result_of(B2B, Amount=amount)
    assert result["ResultCode"] == code
    assert result["ResultParameters"] == {
        "ResultParameter": {"Key": "BOCompletedTime", "Value": 20261122235955}
    }
    assert shop.movements() == []


def test_a_transfer_to_a_merchant_of_ours_arrives(shop):
    shop.result_of(B2B, CommandID="BusinessBuyGoods", PartyB=TILL.till, AccountReference=...)
    assert (shop.balance(PAYBILL)["utility"], shop.balance(TILL)["utility"]) == (99_810, 100_190)
    sent, arrived = shop.movements()
    assert sent["receipt"] == arrived["receipt"]
    assert (arrived["merchant"], arrived["phone"]) == (TILL.shortcode, PAYBILL.shortcode)


def test_taxes_are_remitted(shop):
    body = shop.service_body(B2B, CommandID="PayTaxToKRA", PartyB="572572", AccountReference="PRN1")
    assert shop.call("/mpesa/b2b/v1/remittax", body).status_code == 200
    shop.simulator.advance(5)
    assert shop.movements()[0]["phone"] == "572572"


# --- the table ---

# digits: HTTP status, results, queue timeouts, whether money moved
FACTS = {
    "5678": (200, [0], 0, True),
    "7401": (200, [], 0, True),
    "7402": (200, [0], 0, True),
    "7403": (200, [0, 0], 0, True),
    "7404": (200, [0] * 5, 0, True),
    "7405": (200, [0, 0], 0, True),
    "7406": (200, [0], 0, True),
    "7408": (200, [None], 0, True),
    "7409": (200, ["0"], 0, True),
    "7410": (200, [0], 0, True),
    "7411": (200, [0], 0, True),
    "7412": (200, [0], 0, True),
    "7413": (200, [0], 0, False),
    "7414": (200, [], 1, False),
    "7415": (200, [], 1, True),
    "7416": (200, [], 0, False),
    "7419": (None, [0], 0, True),
    "7420": (None, [], 0, True),
    "7421": (502, [0], 0, True),
    "7422": (502, [], 0, False),
    "7423": (200, [0], 0, True),
    "7424": (None, [], 0, False),
    "7425": (500, [0], 0, True),
    "7426": (500, [], 0, False),
    "7427": (500, [], 0, False),
    "7428": (500, [], 0, False),
    "7429": (500, [], 0, False),
    "7501": (200, [1], 0, False),
    "7502": (200, [2], 0, False),
    "7503": (200, [3], 0, False),
    "7504": (200, [4], 0, False),
    "7508": (200, [8], 0, False),
    "7511": (200, [11], 0, False),
    "7515": (200, [15], 0, False),
    "7517": (200, [17], 0, False),
    "7518": (200, [18], 0, False),
    "7520": (200, [20], 0, False),
    "7521": (200, [21], 0, False),
    "7525": (200, [25], 0, False),
    "7526": (200, [26], 0, False),
    "7528": (200, [2028], 0, False),
    "7540": (200, [2040], 0, False),
    "7541": (200, [2001], 0, False),
    "7546": (200, [2006], 0, False),
    "7548": (200, [8006], 0, False),
    "7549": (200, ["SFC_IC0003"], 0, False),
    "7553": (200, ["TP40153"], 0, False),
    "7555": (200, [5555], 0, False),
}


def test_the_facts_cover_the_whole_table():
    assert set(FACTS) == {row.digits for row in TABLE.rows if row.digits} | {"5678"}


def codes_of(shop):
    """As they were printed; None for what cannot be read."""
    codes = []
    for one in shop.sink.received:
        if one.path == "/service/result":
            try:
                codes.append(one.json["Result"]["ResultCode"])
            except ValueError:
                codes.append(None)
    return codes


def status_of(shop, path, **changes):
    try:
        return shop.ask(path, **changes).status_code
    except httpx2.RemoteProtocolError:
        return None


@pytest.mark.parametrize("api", [Api.B2C, Api.REVERSAL])
@pytest.mark.parametrize("digits", FACTS)
def test_each_row_does_what_it_says_by_the_phone_that_gets_the_money(
    shop, monkeypatch, digits, api
):
    status, codes, timeouts, money_moves = FACTS[digits]
    monkeypatch.setattr("daraja_simulator.calls.SILENCE_SECONDS", 0.0)
    phone = PREFIX + digits
    shop.post("faults", {"confirmation_lost": 0})
    original = pay(shop, phone, amount=10)
    asked = {"PartyB": phone} if api is Api.B2C else {"TransactionID": original, "Amount": 10}
    assert status_of(shop, PATHS[api], **asked) == status
    shop.simulator.advance(300)
    assert codes_of(shop) == codes
    assert len(shop.sink.at("/service/timeout")) == timeouts
    assert [(one["phone"], one["amount"]) for one in shop.movements()[1:]] == (
        [(phone, -10)] if money_moves else []
    )


@pytest.mark.parametrize("api", [Api.STATUS, Api.BALANCE, Api.B2B])
@pytest.mark.parametrize("outcome", [row.name for row in TABLE.rows if row.digits])
def test_each_row_can_be_forced_on_the_others(shop, monkeypatch, outcome, api):
    """By control alone: nothing breaks, and as many letters come as the row says."""
    monkeypatch.setattr("daraja_simulator.calls.SILENCE_SECONDS", 0.0)
    row = TABLE.find(outcome)
    status, codes, timeouts, _ = FACTS[row.digits]
    receipt = pay(shop)
    shop.post("next", {"api": api.value, "outcome": outcome})
    asked = {"TransactionID": receipt} if api is Api.STATUS else {}
    assert status_of(shop, PATHS[api], **asked) == status
    shop.simulator.advance(300)
    assert len(codes_of(shop)) == len(codes)
    assert len(shop.sink.at("/service/timeout")) == timeouts
    assert shop.get("next") == {"next": []}


@pytest.mark.parametrize("outcome", TABLE.rows, ids=lambda row: row.name)
def test_what_a_shop_is_told_is_done_was_done(outcome):
    if not outcome.digits:
        return
    money_moves = FACTS[outcome.digits][3]
    if outcome.shop_ends == "done":
        assert money_moves
    else:
        assert not money_moves


def test_a_silent_acknowledgement_comes_after_30_seconds(shop):
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(shop.ask(B2C, PartyB=PREFIX + "7423").status_code)
    )
    assert shop.headers
    thread.start()
    deadline = time.monotonic() + 5
    while not shop.get("requests")["requests"] and time.monotonic() < deadline:
        time.sleep(0.01)
    shop.simulator.advance(29)
    assert answers == []
    shop.simulator.advance(1)
    thread.join(5)
    assert answers == [200]


def test_a_result_before_the_acknowledgement_has_been_delivered_when_that_comes(shop):
    ack = shop.ask_accepted(B2C, PartyB=PREFIX + "7406")
    assert [one["ConversationID"] for one in shop.results] == [ack["ConversationID"]]


def test_a_queue_timeout_names_the_request_and_no_code(shop):
    ack = shop.ask_accepted(B2C, PartyB=PREFIX + "7414")
    shop.simulator.advance(5)
    (notice,) = shop.sink.at("/service/timeout")
    assert notice["ConversationID"] == ack["ConversationID"]
    assert notice["OriginatorConversationID"] == "refund-1"
    assert "ResultCode" not in notice
    assert shop.get("requests/refund-1")["state"] == "forgotten"


def test_a_forged_success_has_a_receipt_of_nothing(shop):
    result = shop.result_of(B2C, PartyB=PREFIX + "7413")
    assert result["ResultCode"] == 0
    receipt = parameters_of(result)["TransactionReceipt"]
    assert shop.movements() == []
    assert shop.result_of(STATUS, TransactionID=receipt)["ResultCode"] == 2032


def test_a_result_of_another_is_about_nobody(shop):
    ack = shop.ask_accepted(B2C, PartyB=PREFIX + "7412")
    shop.simulator.advance(5)
    (result,) = shop.results
    assert result["ConversationID"] != ack["ConversationID"]
    assert result["OriginatorConversationID"] != "refund-1"
    assert result["TransactionID"] == shop.movements()[0]["receipt"]


def test_types_may_be_the_other_way_round(shop):
    result = shop.result_of(B2C, PartyB=PREFIX + "7409")
    assert (result["ResultType"], result["ResultCode"]) == ("0", "0")
    found = parameters_of(result)
    assert found["TransactionAmount"] == "10"
    assert found["B2CUtilityAccountAvailableFunds"] == "99990.00"
    receipt = shop.movements()[0]["receipt"]
    shop.post("next", {"api": "status", "outcome": "result_other_types"})
    found = parameters_of(shop.result_of(STATUS, TransactionID=receipt))
    assert found["FinalisedTime"] == 20261122235955


def test_keys_may_come_in_their_other_spelling(shop):
    receipt = pay(shop)
    shop.post("next", {"api": "status", "outcome": "result_other_keys"})
    found = parameters_of(shop.result_of(STATUS, TransactionID=receipt))
    assert "FinalisedTime" not in found
    assert found["FinalizedTime"] == "20261122235951"
    assert {"Conversation ID", "Originator Conversation ID"} <= set(found)


def test_one_parameter_may_stand_where_a_list_should(shop):
    result = shop.result_of(B2C, PartyB=PREFIX + "7411")
    assert result["ResultParameters"] == {
        "ResultParameter": {"Key": "TransactionAmount", "Value": 10}
    }


def test_two_results_at_once_meet(shop):
    both = threading.Barrier(2, timeout=5)
    shop.sink.before_answer = both.wait
    shop.ask_accepted(B2C, PartyB=PREFIX + "7405")
    shop.simulator.advance(5)
    assert len(shop.results) == 2


def test_each_fault_does_what_it_is_called(shop):
    for fault, status, early, late, timeouts, moved in [
        ("result_lost", 200, 0, 0, 0, 1),
        ("result_twice", 200, 2, 2, 0, 1),
        ("result_late", 200, 0, 1, 0, 1),
        ("ack_lost", None, 1, 1, 0, 1),
        ("request_refused", 500, 0, 0, 0, 0),
        ("queue_timeout", 200, 0, 0, 1, 0),
    ]:
        shop.post("reset")
        shop.sink.received.clear()
        shop.post("faults", {fault: 1})
        assert status_of(shop, B2C) == status, fault
        shop.simulator.advance(5)
        assert len(shop.results) == early, fault
        shop.simulator.advance(180)
        assert len(shop.results) == late, fault
        assert len(shop.sink.at("/service/timeout")) == timeouts, fault
        assert len(shop.movements()) == moved, fault


def test_a_row_that_refuses_stays_as_it_is_under_faults(shop):
    shop.post("faults", {"ack_lost": 1})
    assert status_of(shop, B2C, PartyB=PREFIX + "7429") == 500


# --- control ---


def test_a_request_tells_all_about_itself(shop):
    ack = shop.ask_accepted(B2C)
    shop.simulator.advance(5)
    request = shop.get("requests/refund-1")
    assert request == {
        "id": ack["ConversationID"],
        "originator_conversation_id": "refund-1",
        "conversation_id": ack["ConversationID"],
        "api": "b2c",
        "state": "done",
        "outcome": "success",
        "command": "BusinessPayment",
        "initiator": "testapi",
        "credential": "good",
        "merchant": "174379",
        "receiver": PHONE,
        "amount": 10,
        "account": None,
        "transaction_id": None,
        "queried_conversation_id": None,
        "result_url": f"{shop.sink.url}/service/result",
        "timeout_url": f"{shop.sink.url}/service/timeout",
        "result_code": "0",
        "result_desc": "The service request is processed successfully.",
        "receipt": shop.movements()[0]["receipt"],
        "created_at": "2026-11-22T23:59:50+03:00",
        "ended_at": "2026-11-22T23:59:55+03:00",
    }
    shop.ask_accepted(BALANCE)
    assert shop.get("requests?api=b2c")["requests"] == [request]
    assert shop.get("requests?state=done")["requests"] == [request]
    assert [one["api"] for one in shop.get("requests?limit=1")["requests"]] == ["balance"]
    assert shop.get("status")["requests"] == 2
    answer = shop.client.get(shop.url("/__sim/requests/unknown"))
    assert answer.status_code == 404


def test_a_result_is_replayed_as_often_as_asked(shop):
    shop.ask_accepted(B2C, PartyB=PREFIX + "7401")
    assert "no result" in shop.post("requests/refund-1/replay", status=409)["error"]
    shop.simulator.advance(5)
    answer = shop.post("requests/refund-1/replay", {"times": 3})
    assert [one["status"] for one in answer["deliveries"]] == [200] * 3
    assert len(shop.results) == 3
    assert len(shop.movements()) == 1


def test_a_reset_forgets_requests_on_their_way(shop):
    shop.ask_accepted(B2C)
    shop.post("reset")
    shop.simulator.advance(600)
    assert (shop.results, shop.movements()) == ([], [])
    assert shop.get("requests") == {"requests": []}
    shop.ask_accepted(B2C)  # its id is free again


def run(open_shop):
    shop = open_shop(seed=5)
    shop.post("faults", {"result_lost": 0.3, "result_twice": 0.3, "ack_lost": 0.2})
    statuses = [status_of(shop, B2C, OriginatorConversationID=f"r-{n}") for n in range(25)]
    shop.simulator.advance(300)
    results = sorted(one["OriginatorConversationID"] for one in shop.results)
    return statuses, results, [one["receipt"] for one in shop.movements()]


def test_one_seed_gives_one_run(open_shop, sink):
    first = run(open_shop)
    sink.received.clear()
    assert run(open_shop) == first


def test_a_result_before_the_acknowledgement_may_be_lost_by_chance(shop):
    shop.post("faults", {"result_lost": 1})
    shop.ask_accepted(B2C, PartyB=PREFIX + "7406")
    assert [one["state"] for one in shop.get("deliveries")["deliveries"]] == ["lost"]
    assert len(shop.movements()) == 1
