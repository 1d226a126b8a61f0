"""What is posted to the shop, and the record of each attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

CALLBACK_CONTENT_TYPE = "application/json;charset=UTF-8"


class LetterKind(StrEnum):
    CALLBACK = "callback"  # of a push
    VALIDATION = "validation"
    CONFIRMATION = "confirmation"
    RESULT = "result"
    TIMEOUT = "queue timeout"


class DeliveryState(StrEnum):
    SENDING = "sending"
    HELD = "held"
    LOST = "lost"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Letter:
    """Ready to be posted. The reference is the id that M-Pesa gave to what it is about."""

    kind: LetterKind
    reference: str
    shortcode: str
    url: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": CALLBACK_CONTENT_TYPE}
        if self.kind is LetterKind.CALLBACK:  # the only kind it has been seen on
            headers["Businessshortcode"] = self.shortcode
        return headers


@dataclass(slots=True, eq=False)
class Delivery:
    """One attempt at posting a letter; `status` is the shop's HTTP status, if it answered."""

    number: int
    letter: Letter
    created_at: datetime
    state: DeliveryState = DeliveryState.SENDING
    attempted_at: datetime | None = None
    status: int | None = None
    answer: bytes = b""
    error: str | None = None
    real_milliseconds: int | None = None

    @property
    def was_received(self) -> bool:
        return self.status is not None and self.status in range(200, 300)

    def to_json(self) -> dict[str, str | int | bool | None]:
        letter = self.letter
        is_callback = letter.kind is LetterKind.CALLBACK
        return {
            "number": self.number,
            "kind": letter.kind.value,
            "reference": letter.reference,
            "checkout_request_id": letter.reference if is_callback else None,
            "url": letter.url,
            "body": letter.body.decode(),
            "state": self.state.value,
            "created_at": self.created_at.isoformat(),
            "attempted_at": self.attempted_at.isoformat() if self.attempted_at else None,
            "status": self.status,
            "answer": self.answer.decode(errors="replace"),
            "error": self.error,
            "real_milliseconds": self.real_milliseconds,
            "was_received": self.was_received,
        }
