"""Read single fields of the bodies that a merchant sends; a wrong one is named in the refusal."""

import ipaddress
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from daraja_simulator.wire import Refused, invalid_field

Payload = Mapping[str, Any]

PHONE = re.compile(r"254[17][0-9]{8}")

_AMOUNT = re.compile(r"[0-9]{1,12}")
_EXACT_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2})?")
_URL = re.compile(r"[!-~]{1,2000}")  # printable ASCII without spaces
_FORBIDDEN_HOSTS = ("localhost", "ngrok", "mockbin", "requestbin")
_FORBIDDEN_WORDS = ("m-pesa", "mpesa", "safaricom", "exe", "exec", "cmd", "sql", "query")


def text_of(value: object) -> str | None:
    """Shortcodes, phones and amounts come as text or as numbers; both are taken."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) else None


def read_matching(payload: Payload, name: str, pattern: re.Pattern[str]) -> str:
    text = text_of(payload.get(name))
    if text is None or not pattern.fullmatch(text):
        raise Refused(invalid_field(name))
    return text


def read_choice(payload: Payload, name: str, choices: tuple[str, ...]) -> str:
    text = text_of(payload.get(name))
    if text not in choices:
        raise Refused(invalid_field(name))
    return text


def read_text(payload: Payload, name: str, lowest: int, highest: int) -> str:
    """Text of so many characters; with a lowest of 0 it may be missing."""
    value = payload.get(name)
    text = "" if value is None else text_of(value)
    if text is None or not lowest <= len(text.strip()) <= highest:
        raise Refused(invalid_field(name))
    return text


def read_amount(payload: Payload, name: str = "Amount") -> int:
    """Whole shillings, one or more."""
    amount = int(read_matching(payload, name, _AMOUNT))
    if amount < 1:
        raise Refused(invalid_field(name))
    return amount


def read_exact_amount(payload: Payload, name: str = "Amount") -> Decimal:
    """Shillings, to the cent."""
    amount = Decimal(read_matching(payload, name, _EXACT_AMOUNT))
    if amount <= 0:
        raise Refused(invalid_field(name))
    return amount


def read_url(payload: Payload, name: str, *, strict: bool) -> str:
    url = payload.get(name)
    refused = Refused(invalid_field(name))
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise refused
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and (parts.port is None or parts.port > 0)
    except ValueError as error:  # a port that is no number, a bracket left open
        raise refused from error
    if not is_usable or (strict and not _is_publishable(url, parts)):
        raise refused
    return url


def _is_publishable(url: str, parts: SplitResult) -> bool:
    """The portal's rules: https, a public lower-case host, none of the frowned-upon words."""
    host = parts.hostname or ""
    if parts.scheme != "https" or any(letter.isupper() for letter in parts.netloc):
        return False
    if any(name in host for name in _FORBIDDEN_HOSTS):
        return False
    if any(word in url.lower() for word in _FORBIDDEN_WORDS):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True  # a name; whether it resolves is nobody's business at this point
