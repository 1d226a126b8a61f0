"""A shop as small as can be: an address that takes callbacks, and a client that pushes."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding

import daraja_simulator
from daraja_simulator import DEFAULT_MERCHANTS, SimulatorServer

PAYBILL, TILL = DEFAULT_MERCHANTS
TIMESTAMP = "20261122101010"
PUSH = "/mpesa/stkpush/v1/processrequest"
QUERY = "/mpesa/stkpushquery/v1/query"
GENERATE = "/oauth/v1/generate"
PHONE = "254712345678"


@dataclass
class Received:
    path: str
    headers: dict
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def callback(self):
        return self.json["Body"]["stkCallback"]

    @property
    def metadata(self):
        items = self.callback["CallbackMetadata"]["Item"]
        return {item["Name"]: item.get("Value") for item in items}


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # five, as it is by default, reset connections that come together


_OTHER_PATHS = {"/c2b/validate", "/c2b/confirm", "/service/result", "/service/timeout"}

B2C = "/mpesa/b2c/v3/paymentrequest"
REVERSAL = "/mpesa/reversal/v1/request"
STATUS = "/mpesa/transactionstatus/v1/query"
BALANCE = "/mpesa/accountbalance/v1/query"
B2B = "/mpesa/b2b/v1/paymentrequest"

CERTIFICATE = Path(daraja_simulator.__file__).with_name("certificate.pem").read_bytes()


def seal(password="Safaricom999!*!", certificate=CERTIFICATE):
    """A SecurityCredential, as the portal tells how to make one."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    return base64.b64encode(key.encrypt(password.encode(), padding.PKCS1v15())).decode()


ACCEPTED = b'{"ResultCode":0,"ResultDesc":"Accepted"}'


class Sink:
    """Takes whatever is posted; the attributes decide how it answers, `answers` by the path."""

    def __init__(self):
        self.received = []
        self.status = 200
        self.location = None
        self.answers = {}
        self.before_answer = lambda: None
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.received.append(Received(self.path, dict(self.headers), body))
                sink.before_answer()
                self.send_response(sink.status)
                if sink.location:
                    self.send_header("Location", sink.location)
                self.end_headers()
                answer = sink.answers.get(self.path, ACCEPTED)
                self.wfile.write(
                    answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                )

            def log_message(self, *args):
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.003,), daemon=True
        )
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def codes(self):
        """The result codes that came, as they were printed; None for what cannot be read."""
        return [_code_of(one) for one in self.received if one.path not in _OTHER_PATHS]

    def at(self, path):
        """The bodies that came to an address, in their order."""
        return [one.json for one in self.received if one.path == path]

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _code_of(received):
    try:
        return received.callback["ResultCode"]
    except ValueError:
        return None


class Shop:
    def __init__(self, simulator: SimulatorServer, sink: Sink, client: httpx2.Client):
        self.simulator = simulator
        self.sink = sink
        self.client = client
        self._token = None

    def url(self, path):
        return self.simulator.url + path

    def fetch_token(self, auth=("key", "secret")):
        answer = self.client.get(
            self.url(GENERATE), params={"grant_type": "client_credentials"}, auth=auth
        )
        assert answer.status_code == 200
        return answer.json()["access_token"]

    def forget_token(self):
        self._token = None

    @property
    def headers(self):
        self._token = self._token or self.fetch_token()
        return {"Authorization": f"Bearer {self._token}"}

    def push_body(self, phone=PHONE, amount=1, merchant=PAYBILL, **changes):
        body = {
            "BusinessShortCode": merchant.shortcode,
            "Password": merchant.password_at(TIMESTAMP),
            "Timestamp": TIMESTAMP,
            "TransactionType": merchant.transaction_type.value,
            "Amount": amount,
            "PartyA": phone,
            "PartyB": merchant.receiver,
            "PhoneNumber": phone,
            "CallBackURL": f"{self.sink.url}/callbacks/secret",
            "AccountReference": "ORDER-1",
            "TransactionDesc": "Tea",
        }
        body.update(changes)
        return {name: value for name, value in body.items() if value is not ...}

    def push(self, phone=PHONE, amount=1, merchant=PAYBILL, **changes):
        body = self.push_body(phone, amount, merchant, **changes)
        return self.client.post(self.url(PUSH), json=body, headers=self.headers)

    def push_accepted(self, phone=PHONE, amount=1, merchant=PAYBILL, **changes):
        """The CheckoutRequestID of a push that is taken."""
        answer = self.push(phone, amount, merchant, **changes)
        assert answer.status_code == 200, answer.text
        return answer.json()["CheckoutRequestID"]

    def push_through_silence(self, phone, seconds):
        """Push from another thread, and let so much time pass while it waits for its answer."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.push, phone)
            deadline = time.monotonic() + 5
            while not self.prompts() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not answer.done()
            self.simulator.advance(seconds)
            return answer.result(timeout=5)

    def query(self, checkout_request_id, merchant=PAYBILL, **changes):
        body = {
            "BusinessShortCode": merchant.shortcode,
            "Password": merchant.password_at(TIMESTAMP),
            "Timestamp": TIMESTAMP,
            "CheckoutRequestID": checkout_request_id,
        }
        body.update(changes)
        return self.client.post(self.url(QUERY), json=body, headers=self.headers)

    def query_code(self, checkout_request_id):
        answer = self.query(checkout_request_id)
        assert answer.status_code == 200, answer.text
        return answer.json()["ResultCode"]

    def get(self, path):
        answer = self.client.get(self.url(f"/__sim/{path}"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body=None, status=200):
        answer = self.client.post(self.url(f"/__sim/{path}"), json=body or {})
        assert answer.status_code == status, answer.text
        return answer.json()

    def prompts(self):
        return self.get("prompts")["prompts"]

    def ledger(self):
        return self.get("ledger")["payments"]

    # --- payments by the customer's menu ---

    def register_body(self, merchant=PAYBILL, **changes):
        body = {
            "ShortCode": merchant.shortcode,
            "ResponseType": "Completed",
            "ConfirmationURL": f"{self.sink.url}/c2b/confirm",
            "ValidationURL": f"{self.sink.url}/c2b/validate",
        }
        body.update(changes)
        return {name: value for name, value in body.items() if value is not ...}

    def register(self, merchant=PAYBILL, version="v2", **changes):
        body = self.register_body(merchant, **changes)
        return self.call(f"/mpesa/c2b/{version}/registerurl", body)

    def register_accepted(self, merchant=PAYBILL, version="v2", **changes):
        answer = self.register(merchant, version, **changes)
        assert answer.status_code == 200, answer.text

    def simulate(self, phone=PHONE, amount=5, merchant=PAYBILL, version="v2", **changes):
        body = {
            "ShortCode": merchant.shortcode,
            "CommandID": merchant.transaction_type.value,
            "Amount": amount,
            "Msisdn": phone,
            "BillRefNumber": None if merchant.till else "ORDER-1",
        }
        body.update(changes)
        body = {name: value for name, value in body.items() if value is not ...}
        return self.call(f"/mpesa/c2b/{version}/simulate", body)

    def pay(self, phone=PHONE, amount=5, merchant=PAYBILL, account="ORDER-1", seconds=1, **changes):
        """Have a customer pay, and so much time pass; the payment as the simulator has it."""
        answer = self.simulate(phone, amount, merchant, BillRefNumber=account, **changes)
        assert answer.status_code == 200, answer.text
        payment_id = self.get("payments?limit=1")["payments"][0]["id"]
        self.simulator.advance(seconds)
        return self.get(f"payments/{payment_id}")

    @property
    def validations(self):
        return self.sink.at("/c2b/validate")

    @property
    def confirmations(self):
        return self.sink.at("/c2b/confirm")

    def call(self, path, body):
        return self.client.post(self.url(path), json=body, headers=self.headers)

    def balance(self, merchant=PAYBILL):
        balances = self.get("ledger")["balances"]
        return next(one for one in balances if one["merchant"] == merchant.shortcode)

    # --- service requests ---

    def service_body(self, path, **changes):
        """A body that is accepted, in the order of the manual."""
        urls = {
            "QueueTimeOutURL": f"{self.sink.url}/service/timeout",
            "ResultURL": f"{self.sink.url}/service/result",
        }
        initiator = {"Initiator": "testapi", "SecurityCredential": seal()}
        bodies = {
            B2C: {
                "OriginatorConversationID": "refund-1",
                "InitiatorName": "testapi",
                "SecurityCredential": seal(),
                "CommandID": "BusinessPayment",
                "Amount": "10",
                "PartyA": "174379",
                "PartyB": PHONE,
                "Remarks": "Refund",
                **urls,
                "Occassion": "ORDER-1",
            },
            REVERSAL: {
                **initiator,
                "CommandID": "TransactionReversal",
                "TransactionID": "UKM1234567",
                "Amount": "5",
                "ReceiverParty": "174379",
                "RecieverIdentifierType": "11",
                **urls,
                "Remarks": "Refund",
            },
            STATUS: {
                **initiator,
                "CommandID": "TransactionStatusQuery",
                "TransactionID": "UKM1234567",
                "PartyA": "174379",
                "IdentifierType": "4",
                **urls,
                "Remarks": "OK",
                "Occasion": "OK",
            },
            BALANCE: {
                **initiator,
                "CommandID": "AccountBalance",
                "PartyA": "174379",
                "IdentifierType": "4",
                "Remarks": "OK",
                **urls,
            },
            B2B: {
                **initiator,
                "CommandID": "BusinessPayBill",
                "SenderIdentifierType": "4",
                "RecieverIdentifierType": "4",
                "Amount": "190",
                "PartyA": "174379",
                "PartyB": "600000",
                "AccountReference": "353353",
                "Requester": PHONE,
                "Remarks": "OK",
                **urls,
                "Occassion": "OK",
            },
        }
        body = bodies[path] | changes
        return {name: value for name, value in body.items() if value is not ...}

    def ask(self, path, **changes):
        return self.call(path, self.service_body(path, **changes))

    def ask_accepted(self, path, **changes):
        """The acknowledgement."""
        answer = self.ask(path, **changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def result_of(self, path, seconds=5, **changes):
        """Ask, let so much time pass, and return the newest result."""
        self.ask_accepted(path, **changes)
        self.simulator.advance(seconds)
        return self.results[-1]

    @property
    def results(self):
        return [one["Result"] for one in self.sink.at("/service/result")]

    def movements(self):
        return self.get("ledger")["movements"]


def parameters_of(result):
    """By key; None for what has no value."""
    found = result["ResultParameters"]["ResultParameter"]
    return {one["Key"]: one.get("Value") for one in found}
