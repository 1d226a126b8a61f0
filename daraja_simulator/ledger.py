"""The truth about money: what really moved, whatever callbacks and queries say."""

import threading
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Movement:
    """Whole shillings that left a payer and reached a merchant."""

    receipt: str
    amount: int
    phone: str
    shortcode: str
    receiver: str
    account_reference: str
    merchant_request_id: str
    checkout_request_id: str
    moved_at: datetime

    def to_json(self) -> dict[str, str | int]:
        return {
            "receipt": self.receipt,
            "amount": self.amount,
            "phone": self.phone,
            "merchant": self.shortcode,
            "receiver": self.receiver,
            "account_reference": self.account_reference,
            "merchant_request_id": self.merchant_request_id,
            "checkout_request_id": self.checkout_request_id,
            "moved_at": self.moved_at.isoformat(),
        }


class Ledger:
    """Only ever grows, save for a reset."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._movements: dict[str, Movement] = {}
        self._last: dict[tuple[str, int], Movement] = {}

    def record(self, movement: Movement) -> None:
        with self._lock:
            if movement.receipt in self._movements:
                raise ValueError("A receipt is given once.")
            self._movements[movement.receipt] = movement
            self._last[movement.phone, movement.amount] = movement

    def has(self, receipt: str) -> bool:
        return receipt in self._movements

    def movements(self) -> list[Movement]:
        with self._lock:
            return list(self._movements.values())

    def last_of(self, phone: str, amount: int) -> Movement | None:
        """The newest movement of that phone and amount, to whichever merchant."""
        with self._lock:
            return self._last.get((phone, amount))

    def clear(self) -> None:
        with self._lock:
            self._movements.clear()
            self._last.clear()
