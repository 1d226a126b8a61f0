"""The simulator's knobs, and what it knows to be true."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

_HTTP_SECONDS = 60.0
_OK = 200
_FORGED = "result_forged"
_BEYOND_BELIEF = "confirmation_forged"
"""Somebody who knows the secret address: what the shop then believes, no list has ever shown."""

PAYBILL = "174379"


@dataclass(frozen=True, slots=True)
class Fates:
    """Rows of the simulator's table, by what the last digits of a phone bring about.

    ``troubles`` lose, change or delay what is said of a payment; ``failures`` end without money;
    ``refund_troubles`` are both of these, for money that goes back to such a phone, and
    ``menu_troubles`` for money that is sent from its menu.
    """

    troubles: Sequence[str]
    failures: Sequence[str]
    refund_troubles: Sequence[str]
    menu_troubles: Sequence[str]

    @classmethod
    def read(cls, tables: dict[str, Any], *, in_a_hurry: bool = False) -> Self:
        """In a hurry, what the shop finds out about only after minutes is left out."""
        ends = {one["digits"]: one["shop_ends"] for one in tables["outcomes"] if one["digits"]}
        requests, menu = (
            {one["digits"]: one["name"] for one in tables[table] if one["digits"]}
            for table in ("requests", "c2b")
        )
        return cls(
            troubles=[digits for digits in ends if digits.startswith("7")],
            failures=[
                digits
                for digits, end in ends.items()
                if not digits.startswith("7") and end in {"failed", "cancelled"}
            ],
            refund_troubles=[
                digits for digits, name in requests.items() if not in_a_hurry or name != _FORGED
            ],
            menu_troubles=[digits for digits, name in menu.items() if name != _BEYOND_BELIEF],
        )


class Safaricom:
    """Speaks with a simulator that lets us. Raises OSError where none listens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._host = urlsplit(url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def set_faults(self, faults: dict[str, float]) -> None:
        self._call("POST", "/faults", faults)

    def set_callbacks(self, mode: str) -> None:
        """``deliver``, ``hold`` or ``drop``."""
        self._call("POST", "/callbacks", {"mode": mode})

    def expire_tokens(self) -> None:
        self._call("POST", "/tokens/expire", {})

    def fates(self, *, in_a_hurry: bool) -> Fates:
        return Fates.read(self._call("GET", "/outcomes"), in_a_hurry=in_a_hurry)

    def prompts(self, phone: str | None = None) -> list[dict[str, Any]]:
        query = f"?phone={quote(phone)}" if phone else ""
        found: list[dict[str, Any]] = self._call("GET", f"/prompts{query}")["prompts"]
        return found

    def movements(self) -> list[dict[str, Any]]:
        """The money that really moved, in and out."""
        moved: list[dict[str, Any]] = self._call("GET", "/ledger")["movements"]
        return moved

    def pay_from_menu(self, phone: str, shillings: int, account: str) -> dict[str, Any]:
        """A customer types number, account and amount into the phone, and the PIN."""
        wish = {"shortcode": PAYBILL, "phone": phone, "amount": str(shillings), "account": account}
        return self._call("POST", "/payments", wish)

    def menu_payment(self, payment_id: str) -> dict[str, Any]:
        """What the customer is told of it: in the end a message with the receipt, or a refusal."""
        return self._call("GET", f"/payments/{quote(payment_id)}")

    def count_to_come(self) -> int:
        """How much is due, waits for a payer, or is on its way to the shop."""
        status = self._call("GET", "/status")
        return sum(int(status[name]) for name in ("due", "waiting", "on_the_way"))

    def replay(self, checkout_request_id: str, times: int) -> None:
        """Deliver the callback of a prompt that has ended so many times more, all at once."""
        path = f"/prompts/{quote(checkout_request_id)}/replay"
        self._call("POST", path, {"times": times, "at_once": True})

    def advance(self, seconds: float) -> None:
        """Let simulated time pass, and have the callbacks answered that it brings."""
        self._call("POST", "/clock", {"advance": seconds, "wait": True})

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, self.port, timeout=_HTTP_SECONDS)
        try:
            connection.request(method, f"/__sim{path}", json.dumps(body) if body else None)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != _OK:
            raise RuntimeError(f"The simulator refuses {method} {path}: {text.decode()[:300]}")
        document: dict[str, Any] = json.loads(text)
        return document
