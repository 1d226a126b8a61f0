"""Everything that can be chosen when the simulator starts."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from daraja_simulator.apis import Api
from daraja_simulator.c2b_outcomes import Order
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


class C2bVersion(StrEnum):
    """Of which version the app has the C2B product."""

    BOTH = "both"
    V1 = "v1"
    V2 = "v2"


class PhoneShape(StrEnum):
    """How a C2B notice tells the payer's phone."""

    BY_VERSION = "by-version"  # v1 hashes, v2 masks
    HASHED = "hashed"
    MASKED = "masked"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Initiator:
    """An operator of the merchant's who may call the API."""

    name: str
    password: str = field(repr=False)


# The public pair of Safaricom's sandbox; it guards nothing.
SANDBOX_INITIATOR = Initiator("testapi", "Safaricom999!*!")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Seconds are simulated ones; port 0 lets the system pick a free port."""

    host: str = "127.0.0.1"
    port: int = 0
    control_from_anywhere: bool = False

    clock_factor: float = 1.0
    start_at: datetime | None = None
    real_dates: bool = False
    seed: int | None = None
    answer_seconds: float = 3.0
    prompt_seconds: float = 60.0
    delivery_timeout_seconds: float = 10.0
    validation_seconds: float = 8.0
    result_seconds: float = 5.0
    duplicate_window_seconds: float = 120.0

    merchants: tuple[Merchant, ...] = DEFAULT_MERCHANTS
    consumer_key: str | None = None
    consumer_secret: str | None = None
    initiators: tuple[Initiator, ...] = (SANDBOX_INITIATOR,)
    missing_products: frozenset[Api] = frozenset()
    token_seconds: int = 3599
    new_token_kills_old: bool = False
    requests_per_second: float | None = None
    rate_answer: RateAnswer = RateAnswer.SPIKE_ARREST

    maximum_amount: int = 250_000
    utility_balance: int = 100_000
    charge_percent: Decimal = Decimal(0)
    payout_charge: int = 0

    c2b_version: C2bVersion = C2bVersion.BOTH
    register_once: bool = False
    refuse_174379: bool = False
    external_validation: bool = True
    validate_express: bool = False
    confirm_express: Order = Order.BY_CHANCE
    phone_shape: PhoneShape = PhoneShape.BY_VERSION

    expires_in_as_number: bool = False
    empty_credentials_error: bool = False
    strict_callback_urls: bool = False
    timestamp_minutes: float | None = None
    over_long: OverLong = OverLong.REJECT
    pending_query_as_500: bool = False
    unknown_query_as_400: bool = False
    status_finds_express: bool = False

    def find_merchant(self, shortcode: str) -> Merchant | None:
        """The last of that number wins, so a merchant of one's own may replace a built-in one."""
        for merchant in reversed(self.merchants):
            if merchant.shortcode == shortcode:
                return merchant
        return None

    def find_receiver(self, number: str) -> Merchant | None:
        """Whose paybill, store or till that is."""
        for merchant in reversed(self.merchants):
            if number in {merchant.shortcode, merchant.receiver}:
                return merchant
        return None
