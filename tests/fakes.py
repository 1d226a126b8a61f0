"""Stand-ins for the ports. None of our own code is ever mocked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from urllib.parse import urlsplit

from app.db import in_transaction
from app.integrations.pictures.shrink import Refused, shrink
from app.ports import (
    BalanceAsk,
    FileStoreError,
    PayoutAsk,
    PictureFault,
    PictureRefused,
    PictureShape,
    PulledRow,
    PullPage,
    PushAccepted,
    PushRequest,
    PushStatus,
    QrAsk,
    RequestAccepted,
    ReversalAsk,
    StatusAsk,
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
class FakeMerchant:
    """Safaricom beyond the prompt: takes every ask down and accepts it.

    ``errors`` holds what a call raises from now on, by its name; ``on_call`` is called with the
    name and the ask before the answer. ``pull`` shows of ``listed`` what lies between the two
    moments, ``page_length`` rows at a time; a None in ``listed`` is a row that cannot be read.
    """

    reversals: list[ReversalAsk] = field(default_factory=list)
    payouts: list[PayoutAsk] = field(default_factory=list)
    status_asks: list[StatusAsk] = field(default_factory=list)
    balance_asks: list[BalanceAsk] = field(default_factory=list)
    pulls: list[tuple[datetime, datetime, int]] = field(default_factory=list)
    pull_registrations: list[tuple[str, str]] = field(default_factory=list)
    c2b_registrations: list[tuple[str, str, bool]] = field(default_factory=list)
    simulated: list[tuple[str, int, str | None]] = field(default_factory=list)
    qr_asks: list[QrAsk] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    listed: list[PulledRow | None] = field(default_factory=list)
    page_length: int = 2
    on_call: object = None
    _lock: Lock = field(default_factory=Lock)

    def reverse(self, ask: ReversalAsk) -> RequestAccepted:
        return self._accept("reverse", self.reversals, ask)

    def pay_out(self, ask: PayoutAsk) -> RequestAccepted:
        """As Safaricom does: an ask with an id that it had before is accepted and does nothing."""
        known = {earlier.originator_id for earlier in self.payouts}
        accepted = self._accept("pay_out", self.payouts, ask)
        conversation_id = "" if ask.originator_id in known else accepted.conversation_id
        return RequestAccepted(conversation_id, ask.originator_id)

    def ask_status(self, ask: StatusAsk) -> RequestAccepted:
        return self._accept("ask_status", self.status_asks, ask)

    def ask_balance(self, ask: BalanceAsk) -> RequestAccepted:
        return self._accept("ask_balance", self.balance_asks, ask)

    def pull(self, start: datetime, end: datetime, offset: int) -> PullPage:
        self._take("pull", self.pulls, (start, end, offset))
        within = [row for row in self.listed if row is None or start <= row.transacted_at <= end]
        page = within[offset : offset + self.page_length]
        rows = tuple(row for row in page if row is not None)
        return PullPage(rows, unreadable=len(page) - len(rows))

    def register_pull(self, msisdn: str, callback_url: str) -> None:
        self._take("register_pull", self.pull_registrations, (msisdn, callback_url))

    def register_c2b_urls(
        self, confirmation_url: str, validation_url: str, *, cancel_when_unreachable: bool
    ) -> None:
        asked = (confirmation_url, validation_url, cancel_when_unreachable)
        self._take("register_c2b_urls", self.c2b_registrations, asked)

    def simulate_c2b(
        self, msisdn: str, amount_shillings: int, bill_reference: str | None = None
    ) -> None:
        self._take("simulate_c2b", self.simulated, (msisdn, amount_shillings, bill_reference))

    def make_qr(self, ask: QrAsk) -> bytes:
        self._take("make_qr", self.qr_asks, ask)
        return PNG_SIGNATURE + ask.reference.encode()

    def _accept(self, name: str, asks: list, ask: object) -> RequestAccepted:
        number = self._take(name, asks, ask)
        return RequestAccepted(
            conversation_id=f"AG_20261122_{CONVERSATION_KINDS[name]}{number:019x}",
            originator_conversation_id=f"{CONVERSATION_KINDS[name]}e4f-4b95-a71d-{number:012d}",
        )

    def _take(self, name: str, asks: list, ask: object) -> int:
        assert not in_transaction(), "the network was used inside a transaction"
        with self._lock:
            asks.append(ask)
            number = len(asks)
        if callable(self.on_call):
            self.on_call(name, ask)
        if name in self.errors:
            raise self.errors[name]
        return number


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CONVERSATION_KINDS = {"reverse": "a", "pay_out": "b", "ask_status": "c", "ask_balance": "d"}
"""One hexadecimal digit each, so that no two asks share an id."""


@dataclass
class FakeDoorbell:
    """Remembers who rang."""

    rings: list[tuple[str, int, float]] = field(default_factory=list)
    is_down: bool = False

    def ring(self, job: str, row_id: int, *, delay_seconds: float = 0) -> None:
        self.rings.append((job, row_id, delay_seconds))

    def waiting(self) -> int | None:
        return None if self.is_down else len(self.rings)


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
