"""Clients as others write them, with nothing changed but the address."""

import base64
import json
import urllib.request
from datetime import datetime

import pytest

from daraja_simulator import SANDBOX_PASSKEY


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
