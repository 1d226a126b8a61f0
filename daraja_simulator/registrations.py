"""Where merchants want to be asked and told of payments."""

from dataclasses import dataclass
from datetime import datetime

from daraja_simulator import wire
from daraja_simulator.c2b_request import RegisterRequest, ResponseType
from daraja_simulator.core import Core
from daraja_simulator.merchants import Merchant
from daraja_simulator.wire import Refused


@dataclass(frozen=True, slots=True)
class Registration:
    shortcode: str
    response_type: ResponseType
    confirmation_url: str
    validation_url: str
    version: str
    registered_at: datetime

    def to_json(self) -> dict[str, str]:
        return {
            "shortcode": self.shortcode,
            "response_type": self.response_type.value,
            "confirmation_url": self.confirmation_url,
            "validation_url": self.validation_url,
            "version": self.version,
            "registered_at": self.registered_at.isoformat(),
        }


class Registrations:
    """They stay through a reset of the simulator, as they do at Safaricom."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._by_merchant: dict[Merchant, Registration] = {}

    def register(self, request: RegisterRequest, version: str) -> None:
        """Raises Refused when there is one already and the app may register but once."""
        with self._core.lock:
            if self._core.config.register_once and request.merchant in self._by_merchant:
                raise Refused(wire.URLS_REGISTERED)
            self.put(request, version)

    def put(self, request: RegisterRequest, version: str) -> Registration:
        """By hand: as Safaricom's staff would, or whoever had the shortcode before."""
        registration = Registration(
            request.shortcode,
            request.response_type,
            request.confirmation_url,
            request.validation_url,
            version,
            self._core.clock.now(),
        )
        with self._core.lock:
            self._by_merchant[request.merchant] = registration
        return registration

    def find(self, merchant: Merchant) -> Registration | None:
        return self._by_merchant.get(merchant)

    def all(self) -> list[Registration]:
        with self._core.lock:
            return list(self._by_merchant.values())

    def forget(self) -> int:
        """As the portal's URL management does; how many there were."""
        with self._core.lock:
            count = len(self._by_merchant)
            self._by_merchant.clear()
        return count
