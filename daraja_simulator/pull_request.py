"""Read and check the bodies of the Pull API, whose errors have a code of their own."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from daraja_simulator.c2b_request import normalise_phone
from daraja_simulator.clock import EAT
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.fields import Payload, read_choice, read_matching, read_url, text_of
from daraja_simulator.merchants import SHORTCODE, Merchant
from daraja_simulator.wire import Refused, invalid_field

_OFFSET = re.compile(r"[0-9]{1,9}")
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PullQuery:
    merchant: Merchant
    shortcode: str
    start: datetime
    end: datetime
    offset: int


def read_pull_register(payload: Payload, config: SimulatorConfig) -> tuple[Merchant, str]:
    """The merchant, and the shortcode as it was written."""
    return _in_their_words(lambda: _read_register(payload, config))


def read_pull_query(payload: Payload, config: SimulatorConfig) -> PullQuery:
    return _in_their_words(lambda: _read_query(payload, config))


def _read_register(payload: Payload, config: SimulatorConfig) -> tuple[Merchant, str]:
    merchant, shortcode = _read_merchant(payload, config)
    read_choice(payload, "RequestType", ("Pull",))
    try:
        normalise_phone(text_of(payload.get("NominatedNumber")) or "")
    except ValueError as error:
        raise Refused(invalid_field("NominatedNumber")) from error
    read_url(payload, "CallBackURL", strict=config.strict_callback_urls)
    return merchant, shortcode


def _read_query(payload: Payload, config: SimulatorConfig) -> PullQuery:
    merchant, shortcode = _read_merchant(payload, config)
    start = _read_moment(payload, "StartDate")
    end = _read_moment(payload, "EndDate")
    if end < start:
        raise Refused(invalid_field("EndDate"))
    offset = int(read_matching(payload, "OffSetValue", _OFFSET))
    return PullQuery(merchant, shortcode, start, end, offset)


def _read_merchant(payload: Payload, config: SimulatorConfig) -> tuple[Merchant, str]:
    shortcode = read_matching(payload, "ShortCode", SHORTCODE)
    merchant = config.find_receiver(shortcode)
    if merchant is None:
        raise Refused(invalid_field("ShortCode"))
    return merchant, shortcode


def _read_moment(payload: Payload, name: str) -> datetime:
    """In Nairobi's time, with or without seconds."""
    text = payload.get(name)
    for form in _FORMATS:
        try:
            return datetime.strptime(str(text), form).replace(tzinfo=EAT)
        except ValueError:
            continue
    raise Refused(invalid_field(name))


def _in_their_words(read: Callable[[], T]) -> T:
    try:
        return read()
    except Refused as refused:
        message = refused.refusal.message.removeprefix("Bad Request - ")
        raise Refused(replace(refused.refusal, code="400.001", message=message)) from refused
