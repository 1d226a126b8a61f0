"""Read and check the bodies of pushes and their queries, in the manual's order."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from daraja_simulator.clock import EAT
from daraja_simulator.config import OverLong, SimulatorConfig
from daraja_simulator.fields import (
    PHONE,
    Payload,
    read_amount,
    read_matching,
    read_url,
    text_of,
)
from daraja_simulator.merchants import SHORTCODE, TransactionType
from daraja_simulator.wire import Refused, invalid_field

_TIMESTAMP = re.compile(r"[0-9]{14}")
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


def read_push(payload: Payload, config: SimulatorConfig, now: datetime) -> PushRequest:
    """Check every field; the first that is wrong is named by the Refused that is raised."""
    credentials = read_credentials(payload, config, now)
    transaction_type = _read_transaction_type(payload)
    amount = read_amount(payload)
    payer = read_matching(payload, "PartyA", PHONE)
    receiver = read_matching(payload, "PartyB", SHORTCODE)
    phone = read_matching(payload, "PhoneNumber", PHONE)
    callback_url = read_url(payload, "CallBackURL", strict=config.strict_callback_urls)
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


def read_query(payload: Payload, config: SimulatorConfig, now: datetime) -> QueryRequest:
    credentials = read_credentials(payload, config, now)
    checkout_request_id = text_of(payload.get("CheckoutRequestID"))
    if not checkout_request_id:
        raise Refused(invalid_field("CheckoutRequestID"))
    return QueryRequest(credentials, checkout_request_id)


def read_credentials(payload: Payload, config: SimulatorConfig, now: datetime) -> Credentials:
    shortcode = read_matching(payload, "BusinessShortCode", SHORTCODE)
    password = text_of(payload.get("Password"))
    if not password:
        raise Refused(invalid_field("Password"))
    timestamp = read_matching(payload, "Timestamp", _TIMESTAMP)
    try:
        moment = datetime.strptime(timestamp, "%Y%m%d%H%M%S").replace(tzinfo=EAT)
    except ValueError as error:
        raise Refused(invalid_field("Timestamp")) from error
    # Unless asked to be strict, the zone is left open: clients in use send EAT or UTC.
    minutes = config.timestamp_minutes
    if minutes is not None and abs(now - moment) > timedelta(minutes=minutes):
        raise Refused(invalid_field("Timestamp"))
    return Credentials(shortcode, password, timestamp)


def _read_transaction_type(payload: Payload) -> TransactionType:
    try:
        return TransactionType(payload.get("TransactionType", ""))
    except ValueError as error:
        raise Refused(invalid_field("TransactionType")) from error


def _read_text(payload: Payload, name: str, limit: int, over_long: OverLong) -> tuple[str, bool]:
    """The text, and whether the prompt has to fail for its length."""
    value = payload.get(name)
    text = "" if value is None else text_of(value)
    if text is None or (len(text) > limit and over_long is OverLong.REJECT):
        raise Refused(invalid_field(name))
    return text[:limit], len(text) > limit and over_long is OverLong.RESULT_1025
