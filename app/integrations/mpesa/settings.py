"""What the client must know of our contract with Safaricom."""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_SHORTCODE = re.compile(r"[1-9][0-9]{4,6}")


@dataclass(frozen=True, slots=True)
class MpesaSettings:
    """Keys, numbers and limits. ``repr`` shows no secret.

    ``till`` is None for a paybill. For a till, ``shortcode`` is the store (head office) number
    that the passkey belongs to, and ``till`` the number that customers know.
    """

    base_url: str
    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    shortcode: str
    passkey: str = field(repr=False)
    till: str | None = None
    connect_timeout_seconds: float = 3
    read_timeout_seconds: float = 10
    total_timeout_seconds: float = 15
    max_response_bytes: int = 65_536
    max_connections: int = 20
    breaker_failures: int = 5
    breaker_pause_seconds: float = 30
    rate_pause_seconds: int = 60

    def __post_init__(self) -> None:
        """Refuse, with ValueError, what can only end in refusals by Safaricom."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("base_url must be like https://api.safaricom.co.ke")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("base_url must hold no password, query or fragment")
        for name in ("shortcode", "till"):
            number = getattr(self, name)
            if number is not None and not _SHORTCODE.fullmatch(number):
                raise ValueError(f"{name} must be 5 to 7 digits, the first no zero")
        for name in ("consumer_key", "consumer_secret", "passkey"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty")

    def url(self, path: str) -> str:
        """The address of one of Safaricom's resources."""
        return self.base_url.rstrip("/") + path


@dataclass(frozen=True, slots=True)
class Initiator:
    """The operator in whose name we ask, and the certificate that its password is encrypted for."""

    name: str
    password: str = field(repr=False)
    certificate: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MerchantSettings:
    """What was agreed with Safaricom beyond M-Pesa Express; None and False are for what was not.

    ``c2b_shortcode`` is what customers type, a paybill or a till.
    """

    c2b_shortcode: str
    c2b_version: str = "v2"
    initiator: Initiator | None = None
    b2c_shortcode: str | None = None
    may_pull: bool = False
    may_simulate: bool = False

    def __post_init__(self) -> None:
        """Refuse, with ValueError, what can only end in refusals by Safaricom."""
        for name in ("c2b_shortcode", "b2c_shortcode"):
            number = getattr(self, name)
            if number is not None and not _SHORTCODE.fullmatch(number):
                raise ValueError(f"{name} must be 5 to 7 digits, the first no zero")
        if self.c2b_version not in {"v1", "v2"}:
            raise ValueError("c2b_version must be v1 or v2")
