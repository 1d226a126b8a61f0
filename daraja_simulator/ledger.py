"""The truth about money: what really moved, whatever callbacks and queries say."""

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

_CENTS = 100


class Kind(StrEnum):
    """Why money moved."""

    EXPRESS = "express"  # a push was paid
    C2B = "c2b"  # a customer paid by the menu of the phone
    B2C = "b2c"
    B2B = "b2b"
    REVERSAL = "reversal"
    CHARGE = "charge"


PAYMENTS = frozenset({Kind.EXPRESS, Kind.C2B})


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that reached a merchant's utility account, or, where `cents` is negative, left it.

    `party` is the other side: a phone, or a shortcode. `linked` is the receipt of the movement
    that this one undoes; `charged_for` is what a charge is for. `balance_cents` is what the account
    held afterwards.
    """

    kind: Kind
    receipt: str
    shortcode: str
    cents: int
    party: str
    party_name: str
    initiated_at: datetime
    moved_at: datetime
    receiver: str = ""
    account_reference: str = ""
    merchant_request_id: str | None = None
    checkout_request_id: str | None = None
    conversation_id: str | None = None
    originator_conversation_id: str | None = None
    linked: str | None = None
    charged_for: Kind | None = None
    balance_cents: int = 0

    @property
    def amount(self) -> int | Decimal:
        """Shillings without a sign; payments are whole."""
        return print_shillings(abs(self.cents))

    @property
    def is_payment(self) -> bool:
        return self.kind in PAYMENTS

    def to_json(self) -> dict[str, Any]:
        return {
            "receipt": self.receipt,
            "kind": self.kind.value,
            "amount": print_shillings(self.cents),
            "balance": print_shillings(self.balance_cents),
            "phone": self.party,
            "name": self.party_name,
            "merchant": self.shortcode,
            "receiver": self.receiver,
            "account_reference": self.account_reference,
            "merchant_request_id": self.merchant_request_id,
            "checkout_request_id": self.checkout_request_id,
            "conversation_id": self.conversation_id,
            "originator_conversation_id": self.originator_conversation_id,
            "linked_receipt": self.linked,
            "moved_at": self.moved_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Balance:
    """A merchant's accounts, in cents. Charges are paid out of the utility account."""

    opening_cents: int
    in_cents: int
    out_cents: int
    charge_cents: int

    @property
    def utility_cents(self) -> int:
        return self.opening_cents + self.in_cents - self.out_cents - self.charge_cents


class Ledger:
    """Only ever grows, save for a reset. A receipt is given once; its charges share it."""

    def __init__(self, opening_cents: int = 0) -> None:
        self._lock = threading.Lock()
        self._opening_cents = opening_cents
        self._movements: list[Movement] = []
        self._payment_count = 0
        self._by_receipt: dict[str, Movement] = {}
        self._last: dict[tuple[str, int], Movement] = {}
        self._reversals: dict[str, Movement] = {}
        self._balances: defaultdict[str, Balance] = defaultdict(self._open)

    def record(self, movement: Movement, *companions: Movement) -> Movement:
        """Book it, and what goes with it; the movement as it was booked, with its balance."""
        with self._lock:
            if movement.receipt in self._by_receipt:
                raise ValueError("A receipt is given once.")
            booked = self._book(movement)
            self._by_receipt[booked.receipt] = booked
            if booked.is_payment:
                self._payment_count += 1
                self._last[booked.party, booked.cents] = booked
            if booked.linked is not None:
                self._reversals[booked.linked] = booked
            for companion in companions:
                self._book(companion)
        return booked

    def find(self, receipt: str) -> Movement | None:
        with self._lock:
            return self._by_receipt.get(receipt)

    def reversal_of(self, receipt: str) -> Movement | None:
        """What undid the movement of that receipt."""
        with self._lock:
            return self._reversals.get(receipt)

    def undone_by(self, movement: Movement) -> Movement | None:
        """The reversal of a payment; the charge for it, which shares its receipt, stays."""
        return self.reversal_of(movement.receipt) if movement.is_payment else None

    def movements(self) -> list[Movement]:
        """All there are, oldest first."""
        with self._lock:
            return list(self._movements)

    def newest(self, count: int) -> list[Movement]:
        with self._lock:
            return self._movements[: -count - 1 : -1]

    def count_payments(self) -> int:
        """What customers paid, also what was reversed since."""
        return self._payment_count

    def last_of(self, phone: str, amount: int) -> Movement | None:
        """The newest payment of that phone and amount, to whichever merchant."""
        with self._lock:
            return self._last.get((phone, amount * _CENTS))

    def balance_of(self, shortcode: str) -> Balance:
        with self._lock:
            return self._balances[shortcode]

    def clear(self) -> None:
        with self._lock:
            self._movements.clear()
            self._payment_count = 0
            self._by_receipt.clear()
            self._last.clear()
            self._reversals.clear()
            self._balances.clear()

    def _open(self) -> Balance:
        return Balance(self._opening_cents, 0, 0, 0)

    def _book(self, movement: Movement) -> Movement:
        balance = self._balances[movement.shortcode]
        if movement.kind is Kind.CHARGE:
            balance = replace(balance, charge_cents=balance.charge_cents - movement.cents)
        elif movement.cents > 0:
            balance = replace(balance, in_cents=balance.in_cents + movement.cents)
        else:
            balance = replace(balance, out_cents=balance.out_cents - movement.cents)
        self._balances[movement.shortcode] = balance
        booked = replace(movement, balance_cents=balance.utility_cents)
        self._movements.append(booked)
        return booked


def print_shillings(cents: int) -> int | Decimal:
    """A whole number where it is one."""
    return cents // _CENTS if cents % _CENTS == 0 else Decimal(cents).scaleb(-2)


def total_shillings(movements: Iterable[Movement]) -> int | Decimal:
    return print_shillings(sum(one.cents for one in movements))
