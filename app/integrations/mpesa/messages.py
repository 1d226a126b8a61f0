"""Readers of what Safaricom sends: strict about meaning, tolerant about shape.

They are fed by strangers, so each answers with a value or raises UnreadableMessage, whatever the
bytes are.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from app.integrations.mpesa.errors import scrub_text
from app.integrations.mpesa.result_codes import FINAL_FAILURES, SUCCESS
from app.integrations.mpesa.strict_json import UnreadableJson, load_strict_json
from app.ports import PushStatus, Verdict
from app.utils.clock import EAT
from app.utils.money import CENTS_PER_SHILLING

_LARGEST_MESSAGE_BYTES = 1_048_576
_LONGEST_TEXT = 500
_LARGEST_AMOUNT_SHILLINGS = 100_000_000
_IDENTIFIER = re.compile(r"[\x21-\x7e]{1,100}")
_RESULT_CODE = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_RECEIPT = re.compile(r"[A-Za-z0-9]{6,20}")
_TIMESTAMP = re.compile(r"[0-9]{14}")
_MSISDN = re.compile(r"254[17][0-9]{8}")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")


class UnreadableMessage(ValueError):
    """Not a message that we understand; ``reason`` is fit for a log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StkCallback:
    """The result of a prompt as the callback claims it; nothing in it is proven.

    What is missing or not of the documented form is None, so that a person looks at it. The
    number is for support alone: a payment is never matched by it.
    """

    merchant_request_id: str
    checkout_request_id: str
    result_code: str
    result_desc: str
    amount_cents: int | None
    receipt: str | None
    transaction_time: datetime | None
    msisdn: str | None

    @property
    def claims_success(self) -> bool:
        """Whether the message says that money moved."""
        return self.result_code == SUCCESS


def read_stk_callback(raw: bytes) -> StkCallback:
    """Read the callback of M-Pesa Express. Raises UnreadableMessage and nothing else.

    Daraja, M-Pesa Express: ``Body.stkCallback`` holds both request ids, ``ResultCode`` and
    ``ResultDesc``; on success ``CallbackMetadata.Item`` lists names and values, in no promised
    order, and ``Balance`` may come without a value.
    """
    callback = _object(_object(_load(raw), "Body"), "stkCallback")
    items = _read_items(callback.get("CallbackMetadata"))
    return StkCallback(
        merchant_request_id=_read_identifier(callback, "MerchantRequestID"),
        checkout_request_id=_read_identifier(callback, "CheckoutRequestID"),
        result_code=_read_result_code(callback.get("ResultCode")),
        result_desc=_clean(callback.get("ResultDesc")),
        amount_cents=_read_amount_cents(items.get("Amount")),
        receipt=_read_receipt(items.get("MpesaReceiptNumber")),
        transaction_time=_read_moment(items.get("TransactionDate")),
        msisdn=_read_msisdn(items.get("PhoneNumber")),
    )


def read_stk_query(status: int, document: Any, checkout_request_id: str) -> PushStatus:
    """The three-valued reading of a status query: paid, failed, or no verdict. Never raises.

    Daraja, M-Pesa Express Query: ``ResponseCode`` tells whether the query worked, ``ResultCode``
    what became of the prompt; both are text. An error envelope proves nothing: the gateway
    answers 500.001.1001 at times even for a prompt that ended long ago. A code that we do not
    know to be final is no verdict either.
    """
    if (doubt := _doubt_query(status, document, checkout_request_id)) is not None:
        return PushStatus(Verdict.NONE, None, doubt)
    code = _text_of(document.get("ResultCode"))
    desc = _clean(document.get("ResultDesc"))
    if code == SUCCESS:
        return PushStatus(Verdict.PAID, code, desc)
    if code in FINAL_FAILURES:
        return PushStatus(Verdict.FAILED, code, desc)
    known = code if code and _RESULT_CODE.fullmatch(code) else None
    return PushStatus(Verdict.NONE, known, desc or "No final result")


def _doubt_query(status: int, document: Any, checkout_request_id: str) -> str | None:
    """Why the answer to a query says nothing about the prompt, or None."""
    if not isinstance(document, dict):
        return f"HTTP {status} without a readable body"
    if "errorCode" in document or "fault" in document:
        return describe_error(status, document)
    if status != HTTPStatus.OK or _text_of(document.get("ResponseCode")) != "0":
        return f"HTTP {status}, the query was not accepted"
    if document.get("CheckoutRequestID") != checkout_request_id:
        return "The answer is about another prompt"
    return None


def describe_error(status: int, document: Any) -> str:
    """One scrubbed line about an error envelope or a gateway fault."""
    code, text = read_error(document)
    return scrub_text(": ".join(part for part in (f"HTTP {status}", code, text) if part))


def read_error(document: Any) -> tuple[str | None, str]:
    """The code and the text (unscrubbed) of an error in either of the gateway's two shapes."""
    if not isinstance(document, dict):
        return None, ""
    if isinstance(fault := document.get("fault"), dict):
        detail = fault.get("detail")
        code = detail.get("errorcode") if isinstance(detail, dict) else None
        return _code_of(code), _clean(fault.get("faultstring"))
    return _code_of(document.get("errorCode")), _clean(document.get("errorMessage"))


def _load(raw: bytes) -> Any:
    if len(raw) > _LARGEST_MESSAGE_BYTES:
        raise UnreadableMessage("longer than any message")
    try:
        return load_strict_json(raw, nan_as_null=True)
    except UnreadableJson as error:
        raise UnreadableMessage(str(error)) from None


def _object(parent: Any, name: str) -> dict[str, Any]:
    child = parent.get(name) if isinstance(parent, dict) else None
    if not isinstance(child, dict):
        raise UnreadableMessage(f"{name} is missing or no object")
    return child


def _read_identifier(callback: dict[str, Any], name: str) -> str:
    value = callback.get(name)
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise UnreadableMessage(f"{name} is missing or malformed")
    return value


def _read_result_code(value: Any) -> str:
    code = _text_of(value)
    if not _RESULT_CODE.fullmatch(code):
        raise UnreadableMessage("ResultCode is missing or malformed")
    return code


def _read_items(metadata: Any) -> dict[str, Any]:
    """Values by name. A name that comes with two different values has none."""
    listed = metadata.get("Item") if isinstance(metadata, dict) else None
    items: Iterable[Any] = listed if isinstance(listed, list) else [listed]
    values: dict[str, Any] = {}
    for item in items:
        if isinstance(item, dict) and isinstance(name := item.get("Name"), str):
            given = item.get("Value")
            value = given if isinstance(given, str | int | Decimal) else None
            values[name] = value if values.get(name, value) == value else None
    return values


def _read_amount_cents(value: Any) -> int | None:
    """Exact cents of a JSON number of shillings. A text is no number; half a cent is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not 0 < value <= _LARGEST_AMOUNT_SHILLINGS:
        return None
    cents = int(value * CENTS_PER_SHILLING)
    return cents if Decimal(cents) / CENTS_PER_SHILLING == value else None


def _read_receipt(value: Any) -> str | None:
    if not isinstance(value, str) or not _RECEIPT.fullmatch(value):
        return None
    return value.upper()


def _read_moment(value: Any) -> datetime | None:
    """``20191219102115``, number or text, in Nairobi's time → aware UTC."""
    text = _text_of(value)
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=EAT).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _read_msisdn(value: Any) -> str | None:
    """A whole Kenyan number, or None: a masked or hashed one is of no use."""
    text = _text_of(value)
    return text if _MSISDN.fullmatch(text) else None


def _text_of(value: Any) -> str:
    """A text or an integer as text; anything else as the empty text."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _code_of(value: Any) -> str | None:
    code = _text_of(value)
    return code if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) else None


def _clean(value: Any) -> str:
    """A text that any database can store: no control characters, no half of a surrogate pair."""
    return _UNSTORABLE.sub(" ", value).strip()[:_LONGEST_TEXT] if isinstance(value, str) else ""
