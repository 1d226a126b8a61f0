"""Signatures of the Standard Webhooks specification: HMAC-SHA256 over ``id.timestamp.payload``."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import datetime
from secrets import token_bytes

_PREFIX = "whsec_"
_BYTES = 32
_USER_AGENT = "Sokoni-Webhooks/1"


def new_secret() -> str:
    """256 random bits, as the specification writes them down."""
    return _PREFIX + b64encode(token_bytes(_BYTES)).decode("ascii")


def signed_headers(
    event_id: str, payload: str, secrets: Iterable[str], now: datetime
) -> dict[str, str]:
    """The headers of one attempt: its moment is that of the attempt, its id the event's for good.

    Each secret signs: a receiver that knows one of them is content.
    """
    timestamp = int(now.timestamp())
    signed = f"{event_id}.{timestamp}.{payload}".encode()
    return {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    return f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode('ascii')}"
