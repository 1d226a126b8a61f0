"""All prompts, found by whatever they are asked for."""

import threading
from collections import defaultdict
from itertools import islice

from daraja_simulator.prompts import Prompt


class PromptBook:
    """Each look-up takes as long as there is to answer, not as there is on record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompts: dict[str, Prompt] = {}
        self._waiting: dict[str, Prompt] = {}
        self._ended: dict[str, Prompt] = {}
        self._by_merchant_request: dict[str, Prompt] = {}
        self._by_phone: defaultdict[str, list[Prompt]] = defaultdict(list)

    def enter(self, prompt: Prompt) -> None:
        with self._lock:
            self._prompts[prompt.checkout_request_id] = prompt
            self._waiting[prompt.checkout_request_id] = prompt
            self._by_merchant_request[prompt.merchant_request_id] = prompt
            self._by_phone[prompt.push.phone].append(prompt)

    def note_end(self, prompt: Prompt) -> None:
        with self._lock:
            self._waiting.pop(prompt.checkout_request_id, None)
            self._ended.pop(prompt.checkout_request_id, None)  # it may end a second time
            self._ended[prompt.checkout_request_id] = prompt

    def clear(self) -> None:
        with self._lock:
            self._prompts.clear()
            self._waiting.clear()
            self._ended.clear()
            self._by_merchant_request.clear()
            self._by_phone.clear()

    def find(self, checkout_request_id: str) -> Prompt | None:
        return self._prompts.get(checkout_request_id)

    def find_by_merchant_request(self, merchant_request_id: str) -> Prompt | None:
        return self._by_merchant_request.get(merchant_request_id)

    def all(self) -> list[Prompt]:
        """Oldest first."""
        with self._lock:
            return list(self._prompts.values())

    def of_phone(self, phone: str) -> list[Prompt]:
        with self._lock:
            return list(self._by_phone.get(phone, ()))

    def waiting(self) -> list[Prompt]:
        """Those that have not ended, oldest first."""
        with self._lock:
            return list(self._waiting.values())

    def newest_waiting(self, count: int) -> list[Prompt]:
        with self._lock:
            return list(islice(reversed(self._waiting.values()), count))

    def newest_ended(self, count: int) -> list[Prompt]:
        """The last that ended first."""
        with self._lock:
            return list(islice(reversed(self._ended.values()), count))

    def count(self) -> int:
        return len(self._prompts)

    def count_waiting(self) -> int:
        return len(self._waiting)
