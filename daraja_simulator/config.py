"""Everything that can be chosen when the simulator starts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from daraja_simulator.merchants import DEFAULT_MERCHANTS, Merchant


class OverLong(StrEnum):
    """What to do with an AccountReference or TransactionDesc over its limit.

    Nobody has published what the real gateway does, so all three can be had.
    """

    REJECT = "reject"
    RESULT_1025 = "1025"
    TRUNCATE = "truncate"


class RateAnswer(StrEnum):
    SPIKE_ARREST = "spike"
    APIGEE = "apigee"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Seconds are simulated ones; port 0 lets the system pick a free port."""

    host: str = "127.0.0.1"
    port: int = 0
    merchants: tuple[Merchant, ...] = DEFAULT_MERCHANTS
    consumer_key: str | None = None
    consumer_secret: str | None = None
    clock_factor: float = 1.0
    start_at: datetime | None = None
    seed: int | None = None
    answer_seconds: float = 3.0
    prompt_seconds: float = 60.0
    delivery_timeout_seconds: float = 10.0
    duplicate_window_seconds: float = 120.0
    maximum_amount: int = 250_000
    token_seconds: int = 3599
    expires_in_as_number: bool = False
    new_token_kills_old: bool = False
    empty_credentials_error: bool = False
    requests_per_second: float | None = None
    rate_answer: RateAnswer = RateAnswer.SPIKE_ARREST
    strict_callback_urls: bool = False
    over_long: OverLong = OverLong.REJECT
    pending_query_as_500: bool = False
    unknown_query_as_400: bool = False
    control_from_anywhere: bool = False

    def find_merchant(self, shortcode: str) -> Merchant | None:
        """The last of that number wins, so a merchant of one's own may replace a built-in one."""
        for merchant in reversed(self.merchants):
            if merchant.shortcode == shortcode:
                return merchant
        return None
