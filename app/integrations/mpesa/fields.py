"""How single values in a message from Safaricom are read, whatever the message is."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeGuard

from app.integrations.mpesa.strict_json import UnreadableJson, load_strict_json
from app.utils.clock import EAT
from app.utils.money import CENTS_PER_SHILLING

_LARGEST_MESSAGE_BYTES = 1_048_576
_LONGEST_TEXT = 500
_LARGEST_AMOUNT_SHILLINGS = 100_000_000
_LARGEST_BALANCE_SHILLINGS = 10_000_000_000
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,100}")
_RESULT_CODE = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_RECEIPT = re.compile(r"[A-Za-z0-9]{6,20}")
_TIMESTAMP = re.compile(r"[0-9]{14}")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class UnreadableMessage(ValueError):
    """Not a message that we understand; ``reason`` is fit for a log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def load_message(raw: bytes) -> Any:
    """The JSON value of a message from a stranger. Raises UnreadableMessage and nothing else."""
    if len(raw) > _LARGEST_MESSAGE_BYTES:
        raise UnreadableMessage("longer than any message")
    try:
        return load_strict_json(raw, nan_as_null=True)
    except UnreadableJson as error:
        raise UnreadableMessage(str(error)) from None


def find_object(parent: Any, name: str) -> dict[str, Any]:
    """The object of this name. Raises UnreadableMessage."""
    child = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(child, dict):
        raise UnreadableMessage(f"{name} is missing or no object")
    return child


def read_identifier(parent: dict[str, Any], name: str) -> str:
    """An id of Safaricom's. Raises UnreadableMessage."""
    value = parent.get(name)
    if not is_identifier(value):
        raise UnreadableMessage(f"{name} is missing or malformed")
    return value


def is_identifier(value: Any) -> TypeGuard[str]:
    """Whether it looks like an id: printable, no spaces, not long."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None


def read_result_code(value: Any) -> str:
    """A result code as text. Raises UnreadableMessage."""
    code = text_of(value)
    if not is_result_code(code):
        raise UnreadableMessage("ResultCode is missing or malformed")
    return code


def is_result_code(text: str) -> bool:
    """Whether it has the form of a result code; not each is a number."""
    return _RESULT_CODE.fullmatch(text) is not None


def read_pairs(listed: Any, *, name: str, value: str) -> dict[str, Any]:
    """Values by name, out of a list of pairs or a pair that stands alone.

    A name that comes with two different values has none.
    """
    pairs: Iterable[Any] = listed if isinstance(listed, list) else [listed]
    values: dict[str, Any] = {}
    for pair in pairs:
        if isinstance(pair, dict) and isinstance(known := pair.get(name), str):
            given = pair.get(value)
            sound = given if isinstance(given, str | int | Decimal) else None
            values[known] = sound if values.get(known, sound) == sound else None
    return values


def read_amount_cents(value: Any, *, as_text: bool = False) -> int | None:
    """Exact cents of a number of shillings above zero; half a cent is no amount.

    A text is a number only in those messages where Safaricom sends numbers so.
    """
    cents = _read_cents(value, as_text=as_text, largest_shillings=_LARGEST_AMOUNT_SHILLINGS)
    return cents if cents is not None and cents > 0 else None


def read_signed_cents(value: Any) -> int | None:
    """Exact cents of an amount that went one way or, below zero, the other; not of nothing."""
    return _read_cents(value, as_text=True, largest_shillings=_LARGEST_AMOUNT_SHILLINGS) or None


def read_balance_cents(value: Any) -> int | None:
    """Exact cents of a number of shillings, which may be below zero."""
    return _read_cents(value, as_text=True, largest_shillings=_LARGEST_BALANCE_SHILLINGS)


def _read_cents(value: Any, *, as_text: bool, largest_shillings: int) -> int | None:
    if as_text and isinstance(value, str):
        value = _read_decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not -largest_shillings <= value <= largest_shillings:
        return None
    cents = int(value * CENTS_PER_SHILLING)
    return cents if Decimal(cents) / CENTS_PER_SHILLING == value else None


def _read_decimal(text: str) -> Decimal | None:
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def read_receipt(value: Any) -> str | None:
    """A receipt in capitals, or None."""
    if not isinstance(value, str) or not _RECEIPT.fullmatch(value):
        return None
    return value.upper()


def read_moment(value: Any) -> datetime | None:
    """``20191219102115``, number or text, in Nairobi's time → aware UTC."""
    text = text_of(value)
    return parse_moment(text, "%Y%m%d%H%M%S") if _TIMESTAMP.fullmatch(text) else None


def parse_moment(text: str, form: str) -> datetime | None:
    """A moment in Nairobi's time → aware UTC; None if it is none."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=EAT).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def text_of(value: Any) -> str:
    """A text or an integer as text; anything else as the empty text."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def code_of(value: Any) -> str | None:
    """An error code, or None for what cannot be one."""
    code = text_of(value)
    return code if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) else None


def clean(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """A text that any database can store: no control characters, no half of a surrogate pair."""
    return _UNSTORABLE.sub(" ", value).strip()[:longest] if isinstance(value, str) else ""
