"""Read and check the bodies that a merchant sends, field by field in the manual's order."""

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from daraja_simulator.config import OverLong, SimulatorConfig
from daraja_simulator.merchants import SHORTCODE, TransactionType
from daraja_simulator.wire import Refused, invalid_field

Payload = Mapping[str, Any]

_PHONE = re.compile(r"254[17][0-9]{8}")
_TIMESTAMP = re.compile(r"[0-9]{14}")
_AMOUNT = re.compile(r"[0-9]{1,12}")
_URL = re.compile(r"[!-~]{1,2000}")  # printable ASCII without spaces
_FORBIDDEN_HOSTS = ("localhost", "ngrok", "mockbin", "requestbin")
_FORBIDDEN_WORDS = ("m-pesa", "mpesa", "safaricom", "exe", "exec", "cmd", "sql", "query")
_REFERENCE_LIMIT = 12
_DESCRIPTION_LIMIT = 13


@dataclass(frozen=True, slots=True)
class Credentials:
    """What every signed body starts with."""

    shortcode: str
    password: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class PushRequest:
    """A push whose fields are all well formed; `is_over_long` asks for result 1025."""

    credentials: Credentials
    transaction_type: TransactionType
    amount: int
    payer: str
    receiver: str
    phone: str
    callback_url: str
    account_reference: str
    description: str
    is_over_long: bool = False


@dataclass(frozen=True, slots=True)
class QueryRequest:
    credentials: Credentials
    checkout_request_id: str


def read_push(payload: Payload, config: SimulatorConfig) -> PushRequest:
    """Check every field; the first that is wrong is named by the Refused that is raised."""
    credentials = read_credentials(payload)
    transaction_type = _read_transaction_type(payload)
    amount = _read_amount(payload)
    payer = _read_matching(payload, "PartyA", _PHONE)
    receiver = _read_matching(payload, "PartyB", SHORTCODE)
    phone = _read_matching(payload, "PhoneNumber", _PHONE)
    callback_url = _read_callback_url(payload, strict=config.strict_callback_urls)
    reference, long_reference = _read_text(
        payload, "AccountReference", _REFERENCE_LIMIT, config.over_long
    )
    if not reference:
        raise Refused(invalid_field("AccountReference"))
    description, long_description = _read_text(
        payload, "TransactionDesc", _DESCRIPTION_LIMIT, config.over_long
    )
    return PushRequest(
        credentials,
        transaction_type,
        amount,
        payer,
        receiver,
        phone,
        callback_url,
        reference,
        description,
        is_over_long=long_reference or long_description,
    )


def read_query(payload: Payload) -> QueryRequest:
    credentials = read_credentials(payload)
    checkout_request_id = _text_of(payload.get("CheckoutRequestID"))
    if not checkout_request_id:
        raise Refused(invalid_field("CheckoutRequestID"))
    return QueryRequest(credentials, checkout_request_id)


def read_credentials(payload: Payload) -> Credentials:
    shortcode = _read_matching(payload, "BusinessShortCode", SHORTCODE)
    password = _text_of(payload.get("Password"))
    if not password:
        raise Refused(invalid_field("Password"))
    timestamp = _read_matching(payload, "Timestamp", _TIMESTAMP)
    try:
        # The zone is left open on purpose: clients in use send EAT or UTC, and both are taken.
        datetime.strptime(timestamp, "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError as error:
        raise Refused(invalid_field("Timestamp")) from error
    return Credentials(shortcode, password, timestamp)


def _text_of(value: object) -> str | None:
    """Shortcodes, phones and amounts come as text or as numbers; both are taken."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) else None


def _read_matching(payload: Payload, name: str, pattern: re.Pattern[str]) -> str:
    text = _text_of(payload.get(name))
    if text is None or not pattern.fullmatch(text):
        raise Refused(invalid_field(name))
    return text


def _read_transaction_type(payload: Payload) -> TransactionType:
    try:
        return TransactionType(payload.get("TransactionType", ""))
    except ValueError as error:
        raise Refused(invalid_field("TransactionType")) from error


def _read_amount(payload: Payload) -> int:
    amount = int(_read_matching(payload, "Amount", _AMOUNT))
    if amount < 1:
        raise Refused(invalid_field("Amount"))
    return amount


def _read_text(payload: Payload, name: str, limit: int, over_long: OverLong) -> tuple[str, bool]:
    """The text, and whether the prompt has to fail for its length."""
    value = payload.get(name)
    text = "" if value is None else _text_of(value)
    if text is None or (len(text) > limit and over_long is OverLong.REJECT):
        raise Refused(invalid_field(name))
    return text[:limit], len(text) > limit and over_long is OverLong.RESULT_1025


def _read_callback_url(payload: Payload, *, strict: bool) -> str:
    url = payload.get("CallBackURL")
    refused = Refused(invalid_field("CallBackURL"))
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
