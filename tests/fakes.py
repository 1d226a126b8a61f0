"""Stand-ins for the ports. None of our own code is ever mocked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import urlsplit

from app.db import in_transaction
from app.integrations.pictures.shrink import Refused, shrink
from app.ports import (
    FileStoreError,
    PictureFault,
    PictureRefused,
    PictureShape,
    PushAccepted,
    PushRequest,
    PushStatus,
    Verdict,
    WebhookAnswer,
    WebhookRequest,
)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class FakeGateway:
    """Safaricom as far as the port shows it: accepts each push unless told what to raise."""

    pushes: list[PushRequest] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    push_error: Exception | None = None
    statuses: dict[str, PushStatus] = field(default_factory=dict)
    on_push: object = None
    _lock: Lock = field(default_factory=Lock)

    def push(self, ask: PushRequest) -> PushAccepted:
        assert not in_transaction(), "the network was used inside a transaction"
        with self._lock:
            self.pushes.append(ask)
            number = len(self.pushes)
        if callable(self.on_push):
            self.on_push(ask)
        if self.push_error is not None:
            raise self.push_error
        return PushAccepted(
            merchant_request_id=f"7071-4170-a0e4-{number:012d}",
            checkout_request_id=f"ws_CO_2211202612000000{number:03d}{ask.msisdn[-9:]}",
            customer_message="Success. Request accepted for processing",
        )

    def query(self, checkout_request_id: str) -> PushStatus:
        assert not in_transaction(), "the network was used inside a transaction"
        with self._lock:
            self.queries.append(checkout_request_id)
        return self.statuses.get(checkout_request_id, PushStatus(Verdict.NONE, "4999", None))

    def says(self, checkout_request_id: str, code: str, desc: str = "") -> None:
        """What a status query answers from now on."""
        verdict = Verdict.PAID if code == "0" else Verdict.FAILED
        self.statuses[checkout_request_id] = PushStatus(verdict, code, desc)


@dataclass
class FakeDoorbell:
    """Remembers who rang."""

    rings: list[tuple[str, int, float]] = field(default_factory=list)

    def ring(self, job: str, row_id: int, *, delay_seconds: float = 0) -> None:
        self.rings.append((job, row_id, delay_seconds))


@dataclass
class FakeFiles:
    """A store of files that fails as it is told to: ``on_write`` is called before each writing."""

    files: dict[str, bytes] = field(default_factory=dict)
    is_down: bool = False
    on_write: object = None
    _lock: Lock = field(default_factory=Lock)

    def write(self, path: str, content: bytes) -> None:
        self.check()
        if callable(self.on_write):
            self.on_write(path)
        with self._lock:
            self.files[path] = content

    def read(self, path: str) -> bytes | None:
        self.check()
        return self.files.get(path)

    def erase(self, folder: str) -> None:
        self.check()
        with self._lock:
            for path in [path for path in self.files if path.startswith(f"{folder}/")]:
                del self.files[path]

    def check(self) -> None:
        assert not in_transaction(), "the file store was used inside a transaction"
        if self.is_down:
            raise FileStoreError("The store is down.")


def shrink_here(content: bytes, shape: PictureShape) -> dict[int, bytes]:
    """The real decoder, without a process of its own."""
    assert not in_transaction(), "a picture was decoded inside a transaction"
    try:
        return shrink(content, shape.widths, square=shape.square, max_pixels=20_000_000)
    except Refused as refusal:
        raise PictureRefused(PictureFault(refusal.reason)) from None


@dataclass
class FakeWebhooks:
    """The internet as far as the port shows it: every address is called, and says 204 unless it was
    told to answer otherwise. ``closed`` are the hosts that lead where nobody is called.
    """

    sent: list[WebhookRequest] = field(default_factory=list)
    answers: dict[str, WebhookAnswer] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    on_send: object = None
    _lock: Lock = field(default_factory=Lock)

    def check(self, url: str) -> None:
        assert not in_transaction(), "a name was resolved inside a transaction"
        if urlsplit(url).hostname in self.closed:
            raise ValueError("This host leads to a machine that not everybody can reach.")

    def send(self, request: WebhookRequest) -> WebhookAnswer:
        assert not in_transaction(), "the network was used inside a transaction"
        with self._lock:
            self.sent.append(request)
        if callable(self.on_send):
            self.on_send(request)
        return self.answers.get(request.url, WebhookAnswer(status=204, duration_ms=12))
