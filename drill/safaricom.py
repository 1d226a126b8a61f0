"""The simulator's knobs, and what it knows to be true."""

import http.client
import json
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote, urlsplit

_HTTP_SECONDS = 60.0
_OK = 200
_FORGED = "result_forged"


class SimulatedTime:
    """Which real moment a simulated one was: between marks the simulated clock runs evenly."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._marks: list[tuple[float, float]] = []

    def mark(self, simulated: float, real: float) -> None:
        """Both in seconds since the epoch, and both later than at the mark before."""
        self._marks.append((simulated, real))

    def real(self, moment: datetime) -> datetime:
        """Raises ValueError where nothing was marked yet."""
        if not self._marks:
            raise ValueError("No moment is known yet.")
        simulated = moment.timestamp()
        after = bisect_right(self._marks, (simulated, float("inf")))
        start, real = self._marks[max(after - 1, 0)]
        pace = 1 / self._factor
        if 0 < after < len(self._marks):
            next_start, next_real = self._marks[after]
            if next_start > start:
                pace = (next_real - real) / (next_start - start)
        return datetime.fromtimestamp(real + (simulated - start) * pace, UTC)


@dataclass(frozen=True, slots=True)
class Fates:
    """Rows of the simulator's table, by what the last digits of a phone bring about.

    ``troubles`` lose, change or delay what is said of a payment; ``failures`` end without money;
    ``refund_troubles`` are both of these, for money that goes back to such a phone.
    """

    troubles: Sequence[str]
    failures: Sequence[str]
    refund_troubles: Sequence[str]

    @classmethod
    def read(cls, tables: dict[str, Any], *, in_a_hurry: bool = False) -> Self:
        """In a hurry, what the shop finds out about only after minutes is left out."""
        ends = {one["digits"]: one["shop_ends"] for one in tables["outcomes"] if one["digits"]}
        requests = {one["digits"]: one["name"] for one in tables["requests"] if one["digits"]}
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
        )


class Safaricom:
    """Speaks with a simulator that listens on this machine. Raises OSError when it does not."""

    def __init__(self, url: str, clock_factor: float) -> None:
        self.url = url
        self.time = SimulatedTime(clock_factor)

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

    def count_to_come(self) -> int:
        """How much is due, waits for a payer, or is on its way to the shop."""
        status = self._call("GET", "/status")
        return sum(int(status[name]) for name in ("due", "waiting", "on_the_way"))

    def replay(self, checkout_request_id: str, times: int) -> None:
        """Deliver the callback of a prompt that has ended so many times more, all at once."""
        path = f"/prompts/{quote(checkout_request_id)}/replay"
        self._call("POST", path, {"times": times, "at_once": True})

    def mark_time(self) -> None:
        """Note which real moment it is on the simulated clock."""
        before = time.time()
        now = datetime.fromisoformat(self._call("GET", "/clock")["now"])
        self.time.mark(now.timestamp(), (before + time.time()) / 2)

    def advance(self, seconds: float) -> None:
        """Let simulated time pass, and have the callbacks answered that it brings."""
        self.mark_time()
        self._call("POST", "/clock", {"advance": seconds, "wait": True})
        self.mark_time()

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_HTTP_SECONDS)
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
