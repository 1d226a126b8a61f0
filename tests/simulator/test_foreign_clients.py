"""Clients as others write them, with nothing changed but the address."""

import base64
import json
import urllib.request
from datetime import datetime

import httpx2
import pytest

from daraja_simulator import SANDBOX_PASSKEY
from tests.simulator.shop import parameters_of, seal


class PortalSample:
    """After the sample of the developer portal: every value a string, one token a call."""

    def __init__(self, base_url, consumer_key, consumer_secret):
        self.base_url = base_url
        self.credentials = f"{consumer_key}:{consumer_secret}".encode()

    def call(self, request):
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def token(self):
        address = self.base_url + "/oauth/v1/generate?grant_type=client_credentials"
        basic = base64.b64encode(self.credentials).decode()
        answer = self.call(
            urllib.request.Request(address, headers={"Authorization": "Basic " + basic})
        )
        assert int(answer["expires_in"]) > 0
        return answer["access_token"]

    def post(self, path, payload):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token()}"}
        data = json.dumps(payload).encode()
        return self.call(urllib.request.Request(self.base_url + path, data, headers))

    def push(self, phone, amount, callback_url):
        timestamp = datetime.now().strftime("%Y%m%d%H%M%S")  # noqa: DTZ005 - as the sample does
        password = base64.b64encode(("174379" + SANDBOX_PASSKEY + timestamp).encode()).decode()
        return self.post(
            "/mpesa/stkpush/v1/processrequest",
            {
                "BusinessShortCode": "174379",
                "Password": password,
                "Timestamp": timestamp,
                "TransactionType": "CustomerPayBillOnline",
                "Amount": str(amount),
                "PartyA": phone,
                "PartyB": "174379",
                "PhoneNumber": phone,
                "CallBackURL": callback_url,
                "AccountReference": "Test",
                "TransactionDesc": "Test",
            },
        )

    def register(self, url):
        return self.post(
            "/mpesa/c2b/v1/registerurl",
            {
                "ShortCode": "174379",
                "ResponseType": "Completed",
                "ConfirmationURL": url + "/c2b/confirm",
                "ValidationURL": url + "/c2b/validate",
            },
        )

    def reverse(self, receipt, amount, url):
        return self.post(
            "/mpesa/reversal/v1/request",
            {
                "Initiator": "testapi",
                "SecurityCredential": seal(),
                "CommandID": "TransactionReversal",
                "TransactionID": receipt,
                "Amount": str(amount),
                "ReceiverParty": "174379",
                "RecieverIdentifierType": "11",
                "ResultURL": url + "/service/result",
                "QueueTimeOutURL": url + "/service/timeout",
                "Remarks": "Payment reversal",
                "Occasion": "",
            },
        )


class TypedClient:
    """After the typed libraries: numbers wherever digits stand, one token for all calls."""

    SHORTCODE = 4001001
    TILL = 5001001

    def __init__(self, base_url, client):
        self.base_url = base_url
        self.client = client
        answer = client.get(
            f"{base_url}/oauth/v1/generate",
            params={"grant_type": "client_credentials"},
            auth=("key", "secret"),
        )
        self.headers = {"Authorization": "Bearer " + answer.json()["access_token"]}

    def signed(self, **fields):
        timestamp = "20261122120000"
        secret = f"{self.SHORTCODE}{SANDBOX_PASSKEY}{timestamp}"
        return {
            "BusinessShortCode": self.SHORTCODE,
            "Password": base64.b64encode(secret.encode()).decode(),
            "Timestamp": timestamp,
            **fields,
        }

    def post(self, path, payload):
        answer = self.client.post(self.base_url + path, json=payload, headers=self.headers)
        answer.raise_for_status()
        return answer.json()

    def push(self, phone, amount, callback_url):
        return self.post(
            "/mpesa/stkpush/v1/processrequest",
            self.signed(
                TransactionType="CustomerBuyGoodsOnline",
                Amount=amount,
                PartyA=phone,
                PartyB=self.TILL,
                PhoneNumber=phone,
                CallBackURL=callback_url,
                AccountReference="INV 1",
                TransactionDesc="Invoice 1",
            ),
        )

    def status(self, checkout_request_id):
        return self.post(
            "/mpesa/stkpushquery/v1/query", self.signed(CheckoutRequestID=checkout_request_id)
        )

    def pay_out(self, originator_id, phone, amount, url):
        return self.post(
            "/mpesa/b2c/v3/paymentrequest",
            {
                "OriginatorConversationID": originator_id,
                "InitiatorName": "testapi",
                "SecurityCredential": seal(),
                "CommandID": "BusinessPayment",
                "Amount": amount,
                "PartyA": self.SHORTCODE,
                "PartyB": phone,
                "Remarks": "Refund",
                "QueueTimeOutURL": url + "/service/timeout",
                "ResultURL": url + "/service/result",
                "Occasion": None,
            },
        )

    def look_up(self, url, **by):
        return self.post(
            "/mpesa/transactionstatus/v1/query",
            {
                "Initiator": "testapi",
                "SecurityCredential": seal(),
                "CommandID": "TransactionStatusQuery",
                "PartyA": self.SHORTCODE,
                "IdentifierType": 4,
                "ResultURL": url + "/service/result",
                "QueueTimeOutURL": url + "/service/timeout",
                "Remarks": "OK",
                "Occasion": "",
                **by,
            },
        )


def test_a_client_of_strings_is_paid(shop):
    client = PortalSample(shop.simulator.url, "key", "secret")
    answer = client.push("254708374149", 1, shop.sink.url + "/path")
    assert answer["ResponseCode"] == "0"
    shop.simulator.advance(3)
    callback = json.loads(shop.sink.received[0].body)["Body"]["stkCallback"]
    # as the portal's sample reads it: by index
    items = callback["CallbackMetadata"]["Item"]
    assert items[0]["Value"] == 1.0
    assert items[1]["Value"] == shop.ledger()[0]["receipt"]
    assert callback["CheckoutRequestID"] == answer["CheckoutRequestID"]


@pytest.mark.parametrize(("phone", "code"), [(254712345678, "0"), (254712342001, "2001")])
def test_a_client_of_numbers_asks_until_it_knows(shop, client, phone, code):
    typed = TypedClient(shop.simulator.url, client)
    checkout_id = typed.push(phone, 25, shop.sink.url)["CheckoutRequestID"]
    codes = []
    while not codes or codes[-1] == "4999":
        codes.append(typed.status(checkout_id)["ResultCode"])
        shop.simulator.advance(1)
    assert codes == ["4999", "4999", "4999", code]


def test_a_client_of_strings_is_told_of_a_payment_and_gives_it_back(shop):
    client = PortalSample(shop.simulator.url, "key", "secret")
    assert client.register(shop.sink.url)["ResponseDescription"] == "Success"
    shop.pay(amount=120)
    confirmation = shop.confirmations[0]
    assert float(confirmation["TransAmount"]) == 120
    answer = client.reverse(confirmation["TransID"], 120, shop.sink.url)
    assert answer["ResponseCode"] == "0"
    shop.simulator.advance(5)
    (result,) = shop.results
    assert result["ConversationID"] == answer["ConversationID"]
    # as the portal's sample reads it: by index
    parameters = result["ResultParameters"]["ResultParameter"]
    assert parameters[1]["Value"] == 120.0
    assert parameters[3]["Value"] == confirmation["TransID"]
    assert shop.balance()["utility"] == 100_000


def test_a_client_of_numbers_pays_out_once_and_finds_it_by_its_own_id(shop, client):
    typed = TypedClient(shop.simulator.url, client)
    typed.pay_out("payout-1", 254712345678, 40, shop.sink.url)
    with pytest.raises(httpx2.HTTPStatusError) as refused:
        typed.pay_out("payout-1", 254712345678, 40, shop.sink.url)
    assert refused.value.response.json()["errorCode"] == "500.002.1001"
    shop.simulator.advance(5)
    typed.look_up(shop.sink.url, OriginalConversationID="payout-1")
    shop.simulator.advance(5)
    receipts = [
        parameters_of(result)[key]
        for result, key in zip(shop.results, ("TransactionReceipt", "ReceiptNo"), strict=True)
    ]
    assert receipts == [shop.movements()[0]["receipt"]] * 2
