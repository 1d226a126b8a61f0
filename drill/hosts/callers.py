"""A customer's HTTP where there are several web hosts: whoever gets no answer asks another."""

import itertools
import time
from collections.abc import Mapping

from drill.caller import Answer, Caller, NoAnswer

_PATIENCE_SECONDS = 6.0
_REST_SECONDS = 4.0
"""For so long nobody asks a host that did not answer, unless no other does."""


class ManyHosts(Caller):
    """By turns; a host that did not answer is left alone for a while."""

    def __init__(self, places: Mapping[str, tuple[str, int]]) -> None:
        """``places`` are address and port by the names of the hosts."""
        super().__init__(0)
        self.callers = {
            name: Caller(port, address, patience_seconds=_PATIENCE_SECONDS)
            for name, (address, port) in places.items()
        }
        self._turns = itertools.cycle(list(self.callers))
        self._rest_until = dict.fromkeys(self.callers, 0.0)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        key: str | None = None,
        hang_up_after_seconds: float | None = None,
    ) -> Answer:
        name = self._choose()
        try:
            return self.callers[name].call(
                method,
                path,
                body,
                token=token,
                key=key,
                hang_up_after_seconds=hang_up_after_seconds,
            )
        except NoAnswer:
            if hang_up_after_seconds is None:
                self._rest_until[name] = time.monotonic() + _REST_SECONDS
            raise

    def close(self) -> None:
        for caller in self.callers.values():
            caller.close()

    def _choose(self) -> str:
        now = time.monotonic()
        name = next(self._turns)
        for _ in self.callers:
            if self._rest_until[name] <= now:
                break
            name = next(self._turns)
        return name
