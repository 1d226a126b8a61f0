"""What the shop needs of the world outside, in plain values; the adapters live in integrations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

Clock = Callable[[], datetime]
"""Answers the present moment, aware, in UTC."""


class GatewayError(Exception):
    """The payment network did not do what was asked.

    ``certain`` is True only where the request was surely not carried out: no prompt is on any
    phone, no money on its way, and asking again is safe. Where it is False the outcome is unknown
    and nothing may be sent again by itself.
    """

    def __init__(
        self,
        message: str,
        *,
        certain: bool,
        code: str | None = None,
        customer_message: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.certain = certain
        self.code = code
        self.customer_message = customer_message
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class PushRequest:
    """One prompt: whole shillings, a phone as ``2547XXXXXXXX``, where to report."""

    amount_shillings: int
    msisdn: str
    callback_url: str
    account_reference: str
    description: str


@dataclass(frozen=True, slots=True)
class PushAccepted:
    """A prompt was queued. Nothing is paid."""

    merchant_request_id: str
    checkout_request_id: str
    customer_message: str


class Verdict(StrEnum):
    """What a status query says of a push; NONE is no verdict: ask again."""

    PAID = "paid"
    FAILED = "failed"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PushStatus:
    """The three-valued answer of a status query; it never carries an amount or a receipt."""

    verdict: Verdict
    result_code: str | None
    result_desc: str | None


class PaymentGateway(Protocol):
    def push(self, ask: PushRequest) -> PushAccepted:
        """Ask for one prompt, once. Raises GatewayError."""

    def query(self, checkout_request_id: str) -> PushStatus:
        """Ask what became of a prompt. Raises nothing for a network that stutters: no verdict."""


@dataclass(frozen=True, slots=True)
class ReversalAsk:
    """Give a customer's payment back whole: its receipt, and to the cent what was paid.

    The two addresses of this and the other asks are where Safaricom reports the result, and where
    it says that its own queue gave the request up. ``remarks`` are 2 to 100 letters, digits,
    spaces or hyphens.
    """

    receipt: str
    amount_cents: int
    result_url: str
    timeout_url: str
    remarks: str


@dataclass(frozen=True, slots=True)
class PayoutAsk:
    """Send money to a phone. Of all asks with the same ``originator_id``, our own, one counts."""

    originator_id: str
    msisdn: str
    amount_shillings: int
    result_url: str
    timeout_url: str
    remarks: str


@dataclass(frozen=True, slots=True)
class StatusAsk:
    """What became of a transaction: by its receipt, by the request's conversation id, or by both.

    ``of_payout`` says that it left the shortcode that pays out, not the one that is paid.
    """

    receipt: str | None
    conversation_id: str | None
    result_url: str
    timeout_url: str
    remarks: str
    of_payout: bool = False


@dataclass(frozen=True, slots=True)
class BalanceAsk:
    """What our accounts hold; ``of_payouts``: those of the shortcode that pays out."""

    result_url: str
    timeout_url: str
    remarks: str
    of_payouts: bool = False


@dataclass(frozen=True, slots=True)
class RequestAccepted:
    """The request is queued: nothing has happened yet. The result comes to its address, or never.

    ``conversation_id`` is empty where Safaricom says only that it had this request already.
    """

    conversation_id: str
    originator_conversation_id: str


@dataclass(frozen=True, slots=True)
class PulledRow:
    """One payment as Safaricom's own list shows it, or the undoing of one, which may be below zero.

    ``msisdn`` is as it came, masked or not.
    """

    receipt: str
    amount_cents: int
    transacted_at: datetime
    msisdn: str
    bill_reference: str
    kind: str
    sender: str


@dataclass(frozen=True, slots=True)
class PullPage:
    """Some rows of the list, and how many more there were that nobody can read."""

    rows: tuple[PulledRow, ...]
    unreadable: int = 0

    @property
    def length(self) -> int:
        """By how much the offset moves to the next page; 0: there is no more."""
        return len(self.rows) + self.unreadable


@dataclass(frozen=True, slots=True)
class QrAsk:
    """A code that the M-Pesa app reads: whom to pay, how much, for what."""

    merchant_name: str
    reference: str
    amount_shillings: int
    size_pixels: int = 300


class MerchantGateway(Protocol):
    """Everything of M-Pesa but the prompt. Every call may raise GatewayError, and none may be made
    inside a transaction.

    What is not set up is refused as certain, with the settings that are missing in the message.
    """

    def reverse(self, ask: ReversalAsk) -> RequestAccepted:
        """Ask for a payment to be given back, once."""

    def pay_out(self, ask: PayoutAsk) -> RequestAccepted:
        """Ask for money to be sent, once. That Safaricom had the same ask before is acceptance."""

    def ask_status(self, ask: StatusAsk) -> RequestAccepted:
        """Ask for the state of a transaction; it comes to the result's address."""

    def ask_balance(self, ask: BalanceAsk) -> RequestAccepted:
        """Ask for our balances; they come to the result's address."""

    def pull(self, start: datetime, end: datetime, offset: int) -> PullPage:
        """The payments between two moments (aware, at most 48 hours apart), from ``offset`` on."""

    def register_pull(self, msisdn: str, callback_url: str) -> None:
        """Ask for the list to be kept; that it is kept already is fine."""

    def register_c2b_urls(
        self, confirmation_url: str, validation_url: str, *, cancel_when_unreachable: bool
    ) -> None:
        """Say where payments from the menu are reported. In production this works once."""

    def simulate_c2b(
        self, msisdn: str, amount_shillings: int, bill_reference: str | None = None
    ) -> None:
        """Let a test phone pay from the menu; refused in production."""

    def make_qr(self, ask: QrAsk) -> bytes:
        """The code as a PNG."""


class NoMerchantGateway:
    """The MerchantGateway of a process that was given none."""

    def reverse(self, ask: ReversalAsk) -> RequestAccepted:
        raise _no_merchant_gateway(ask)

    def pay_out(self, ask: PayoutAsk) -> RequestAccepted:
        raise _no_merchant_gateway(ask)

    def ask_status(self, ask: StatusAsk) -> RequestAccepted:
        raise _no_merchant_gateway(ask)

    def ask_balance(self, ask: BalanceAsk) -> RequestAccepted:
        raise _no_merchant_gateway(ask)

    def pull(self, start: datetime, end: datetime, offset: int) -> PullPage:
        raise _no_merchant_gateway(start, end, offset)

    def register_pull(self, msisdn: str, callback_url: str) -> None:
        raise _no_merchant_gateway(msisdn, callback_url)

    def register_c2b_urls(
        self, confirmation_url: str, validation_url: str, *, cancel_when_unreachable: bool
    ) -> None:
        raise _no_merchant_gateway(confirmation_url, validation_url, cancel_when_unreachable)

    def simulate_c2b(
        self, msisdn: str, amount_shillings: int, bill_reference: str | None = None
    ) -> None:
        raise _no_merchant_gateway(msisdn, amount_shillings, bill_reference)

    def make_qr(self, ask: QrAsk) -> bytes:
        raise _no_merchant_gateway(ask)


def _no_merchant_gateway(*_asked: object) -> GatewayError:
    return GatewayError("There is no gateway for this here.", certain=True)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and the moment (aware UTC) from which it is not to be used."""

    value: str = field(repr=False)
    expires_at: datetime


class TokenStore(Protocol):
    """Where all processes that share a consumer key keep their one token."""

    def read(self) -> AccessToken | None:
        """The token kept last, fresh or not."""

    def claim(self, lease_seconds: float) -> bool:
        """True for the one caller that may fetch a new token now; the claim ends by itself."""

    def write(self, token: AccessToken) -> None:
        """Keep a new token and end the claim."""

    def drop(self, value: str) -> None:
        """Forget the token if it is still this one."""


class Doorbell(Protocol):
    """Tells a worker that a row has work now. A ring may be lost: the sweep finds the row."""

    def ring(self, job: str, row_id: int, *, delay_seconds: float = 0) -> None:
        """Ask for ``job`` on one row, now or in a while. Raises nothing."""

    def waiting(self) -> int | None:
        """How many rings no worker has heard yet; None where nobody knows. Raises nothing."""


class RunSoon(Protocol):
    """Runs what need not keep a caller waiting. It may be lost with the process: a row knows."""

    def __call__(self, work: Callable[[], None]) -> bool:
        """Take ``work``, or answer False where too much waits already."""


class FileStoreError(Exception):
    """The store did not answer, is full, or refused. What was to be written may be there or not."""


class FileStore(Protocol):
    """Where pictures lie, by names of our own making. Every call may raise FileStoreError, and
    none may be made inside a transaction.
    """

    def write(self, path: str, content: bytes) -> None:
        """Keep a file: afterwards it is there whole, whatever happens to the machine."""

    def read(self, path: str) -> bytes | None:
        """A file's content; None if there is none of this name."""

    def erase(self, folder: str) -> None:
        """Remove a folder with all that is in it; it need not be there."""

    def check(self) -> None:
        """Return if the store answers and can be written, as far as can be told without writing."""


class NoFileStore:
    """The FileStore of a process that was given none."""

    def write(self, path: str, content: bytes) -> None:  # noqa: ARG002 - the port's signature
        self.check()

    def read(self, path: str) -> bytes | None:  # noqa: ARG002 - likewise
        return None

    def erase(self, folder: str) -> None:  # noqa: ARG002 - likewise
        self.check()

    def check(self) -> None:
        raise FileStoreError("There is no file store here.")


class PictureFault(StrEnum):
    """Why a file is no picture that we take."""

    UNSUPPORTED = "unsupported"
    BROKEN = "broken"
    TOO_LARGE = "too_large"


class PictureRefused(Exception):
    """The file is at fault: sending it again changes nothing."""

    def __init__(self, fault: PictureFault) -> None:
        super().__init__(fault)
        self.fault = fault


class PicturesBusy(Exception):
    """No decoder was free, or it did not end in time: sending the file later is right."""


@dataclass(frozen=True, slots=True)
class PictureShape:
    """What is made of a picture: one for each width, never larger than the original."""

    widths: tuple[int, ...]
    square: bool


class ShrinkPicture(Protocol):
    """Reads what a stranger sent and makes small WebP pictures of it, without metadata."""

    def __call__(self, content: bytes, shape: PictureShape) -> dict[int, bytes]:
        """The pictures by their width. Raises PictureRefused or PicturesBusy."""


def shrink_nothing(content: bytes, shape: PictureShape) -> dict[int, bytes]:  # noqa: ARG001 - the port's signature
    """The ShrinkPicture of a process that was given none."""
    raise PicturesBusy("There is no decoder here.")


def run_at_once(work: Callable[[], None]) -> bool:
    """The RunSoon of a process that has nobody waiting."""
    work()
    return True


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One signed message to an address that a merchant named."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What came back: a status, or why there is none. ``text`` is the answer's beginning."""

    status: int | None
    duration_ms: int
    error: str | None = None
    text: str = ""
    retry_after_seconds: int | None = None

    @property
    def is_success(self) -> bool:
        """Any 2xx; a redirect is none."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - the 2xx


class WebhookSender(Protocol):
    """Calls addresses that we are told, where anybody could call them, and nowhere else. Neither
    may be called inside a transaction.
    """

    def check(self, url: str) -> None:
        """Resolve the host of an address. Raises ValueError, with a sentence, for one that is
        never called.
        """

    def send(self, request: WebhookRequest) -> WebhookAnswer:
        """POST once, follow nothing. Raises nothing for what the network or the receiver does."""


class NoWebhooks:
    """The WebhookSender of a process that was given none."""

    def check(self, url: str) -> None:  # noqa: ARG002 - the port's signature
        raise ValueError("No addresses can be called from here.")

    def send(self, request: WebhookRequest) -> WebhookAnswer:  # noqa: ARG002 - likewise
        return WebhookAnswer(status=None, duration_ms=0, error="Nothing can be sent from here.")


class RunBeside(Protocol):
    """Repeats a step until it answers False, in a lane that no other lane waits for."""

    def __call__(self, lane: str, step: Callable[[], bool]) -> None:
        """``step`` reports its own failures. What is left undone, a sweep finds."""


def repeat_here(lane: str, step: Callable[[], bool]) -> None:  # noqa: ARG001 - the port's signature
    """The RunBeside of a process that has nothing else to do."""
    while step():
        pass


@dataclass(frozen=True, slots=True)
class Ports:
    """The world outside, as the composition root hands it in."""

    clock: Clock
    gateway: PaymentGateway
    doorbell: Doorbell
    run_soon: RunSoon = run_at_once
    files: FileStore = field(default_factory=NoFileStore)
    shrink_picture: ShrinkPicture = shrink_nothing
    merchant: MerchantGateway = field(default_factory=NoMerchantGateway)
    webhooks: WebhookSender = field(default_factory=NoWebhooks)
    run_beside: RunBeside = repeat_here
