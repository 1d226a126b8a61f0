"""A gateway in memory, a gateway on a loopback socket, and times that tests move by hand."""

import contextlib
import json
import socket
import threading
from datetime import UTC, datetime, timedelta

import httpx2
import hypothesis

from app.integrations.mpesa import DarajaClient, MemoryTokenStore, MpesaSettings
from app.ports import AccessToken, PushRequest

UNHURRIED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
"""For properties: a busy machine is no failure."""

CHECKOUT_ID = "ws_CO_22112026123000123712345678"
TOKEN = "c9SQxWWhmdVRlyh0zh8gZDTkubVF"
NOON = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

ACCEPTED = {
    "MerchantRequestID": "2654-4b64-97ff-b827b542881d3130",
    "CheckoutRequestID": CHECKOUT_ID,
    "ResponseCode": "0",
    "ResponseDescription": "Success. Request accepted for processing",
    "CustomerMessage": "Success. Request accepted for processing",
}


def settings(**changes):
    return MpesaSettings(
        **{
            "base_url": "https://daraja.example",
            "consumer_key": "key-of-ours",
            "consumer_secret": "secret-of-ours",
            "shortcode": "174379",
            "passkey": "passkey-of-ours",
            **changes,
        }
    )


def ask(**changes):
    return PushRequest(
        **{
            "amount_shillings": 1500,
            "msisdn": "254712345678",
            "callback_url": "https://shop.example/api/pay/cb/7.secret",
            "account_reference": "SK-1024",
            "description": "Order",
            **changes,
        }
    )


def envelope(code, text):
    return {"requestId": "11728-2929992-1", "errorCode": code, "errorMessage": text}


class Moment:
    """A wall clock and a monotonic clock that stand still until they are moved."""

    def __init__(self):
        self.now = NOON
        self.seconds = 1000.0

    def clock(self):
        return self.now

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.move(seconds)

    def move(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


class FakeDaraja:
    """Answers in memory. ``answers`` are taken in turn, the last one for ever."""

    def __init__(self, *answers, tokens=None):
        self.answers = list(answers) or [(200, ACCEPTED)]
        self.token_answers = list(tokens or [])
        self.token_requests = []
        self.requests = []
        self._lock = threading.Lock()

    @property
    def bodies(self):
        return [json.loads(request.content) for request in self.requests]

    def __call__(self, request):
        with self._lock:
            if request.url.path == "/oauth/v1/generate":
                self.token_requests.append(request)
                number = len(self.token_requests)
                fresh = (200, {"access_token": f"{TOKEN}{number}", "expires_in": "3599"})
                return self._respond(self._take(self.token_answers, fresh))
            self.requests.append(request)
            return self._respond(self._take(self.answers, None))

    @staticmethod
    def _take(answers, default):
        if not answers:
            return default
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @staticmethod
    def _respond(answer):
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        return httpx2.Response(status, content=content, headers=headers[0] if headers else None)


def client_of(fake, *, moment=None, tokens=None, **changes):
    moment = moment or Moment()
    return DarajaClient(
        settings(**changes),
        tokens or MemoryTokenStore(monotonic=moment.monotonic),
        moment.clock,
        httpx2.MockTransport(fake),
        monotonic=moment.monotonic,
        sleep=moment.sleep,
    )


def store_with_token(value=TOKEN):
    store = MemoryTokenStore()
    store.write(AccessToken(value=value, expires_at=datetime(2100, 1, 1, tzinfo=UTC)))
    return store


class LoopbackServer:
    """A socket on 127.0.0.1 whose ``behave(connection)`` runs once a connection, in a thread."""

    def __init__(self, behave):
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.stopped = threading.Event()
        self._threads = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.stopped.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection:
            connection.settimeout(5)
            with contextlib.suppress(OSError):  # some tests want the client to hang up
                self._behave(self, connection)

    def close(self):
        self.stopped.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass  # wakes the listener
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()


def read_request(connection):
    """Head and body of one request."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def send_response(connection, status_line, body, *headers):
    lines = [f"HTTP/1.1 {status_line}", f"Content-Length: {len(body)}", *headers]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
