"""What Safaricom answers at once to the requests beyond M-Pesa Express.

Each reader gives None for an answer that is not the success it is about; the caller then asks
``refusals`` what it is.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from app.integrations.mpesa.exchange import Answer
from app.integrations.mpesa.fields import (
    clean,
    is_identifier,
    read_receipt,
    read_signed_cents,
    text_of,
)
from app.integrations.mpesa.messages import read_error
from app.ports import PulledRow, PullPage, RequestAccepted
from app.utils.clock import EAT

_ZERO = re.compile(r"0{1,8}")
_DUPLICATE_CODE = "500.002."
_DUPLICATE_TEXT = "duplicate originatorconversationid"
_REGISTERED_TEXT = "already registered"
_REGISTERED_FAULT = ("addurlvault", "409")
_ROWS_CODE = "1000"
_NO_ROWS_CODE = "1001"
_NO_ROWS_TEXTS = (
    "does not have any available transactions",
    "no transactions available",
    "no transaction on g2",
    "transaction not found",
)
_NO_ROWS_LIST = re.compile(r"[\[\]\s]*")
_REGISTRATION_CODES = frozenset({"1000", "1001"})
_PULLED_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_PNG = b"\x89PNG\r\n\x1a\n"
_LONGEST_PHONE = 64
_LONGEST_REFERENCE = 40
_LONGEST_NAME = 120


def read_acknowledgement(answer: Answer) -> RequestAccepted | None:
    """Daraja: ``ResponseCode`` 0 and a ``ConversationID`` mean that the request was queued."""
    if not says_zero(answer) or answer.document is None:
        return None
    conversation_id = answer.document.get("ConversationID")
    originator_id = answer.document.get("OriginatorConversationID")
    if not is_identifier(conversation_id):
        return None
    return RequestAccepted(
        conversation_id=conversation_id,
        originator_conversation_id=originator_id if is_identifier(originator_id) else "",
    )


def says_zero(answer: Answer) -> bool:
    """Whether it is a success with a ``ResponseCode`` of 0, which some write 00000000."""
    document = answer.document
    if document is None or not answer.is_success or answer.holds_error:
        return False
    return _ZERO.fullmatch(text_of(document.get("ResponseCode"))) is not None


def says_duplicate(answer: Answer) -> bool:
    """Daraja, B2C: a payout with this id was accepted before: 500.002.1001, and a text."""
    code, text = read_error(answer.document)
    return (code or "").startswith(_DUPLICATE_CODE) and _DUPLICATE_TEXT in text.lower()


def says_registered_already(answer: Answer) -> bool:
    """Daraja, C2B: a plain error text, or an old gateway's fault, its SOAP turned into JSON."""
    text = str(answer.document or "").lower()
    return _REGISTERED_TEXT in text or all(part in text for part in _REGISTERED_FAULT)


def says_pull_registered(answer: Answer) -> bool:
    """Daraja, Pull Transactions: 1000 is registered now, 1001 before. Its keys may have spaces."""
    document = answer.document
    if document is None or not answer.is_success or answer.holds_error:
        return False
    status = document.get("ResponseStatus", document.get("Response Status"))
    return text_of(status) in _REGISTRATION_CODES


def read_pull_page(answer: Answer) -> PullPage | None:
    """Daraja, Pull Transactions: 1000 and a list of lists; 1001, or an error text that says so,
    for none. A row that cannot be read is counted, so that nobody takes it for absent.

    No text of Safaricom's shows how an undoing is listed. One below zero is a sound row, whatever
    its type is called.
    """
    document = answer.document or {}
    if _says_no_rows(document):
        return PullPage(())
    is_list = text_of(document.get("ResponseCode")) == _ROWS_CODE
    listed = document.get("Response", document.get("Transaction"))
    if not answer.is_success or answer.holds_error or not is_list:
        return None
    if isinstance(listed, str) and _NO_ROWS_LIST.fullmatch(listed):
        return PullPage(())
    return _read_page(listed) if isinstance(listed, list) else None


def read_qr(answer: Answer) -> bytes | None:
    """Daraja, Dynamic QR: the sign of success is a picture; ``ResponseCode`` is now ``00``, now an
    id.
    """
    document = answer.document
    if document is None or not answer.is_success or answer.holds_error:
        return None
    text = text_of(document.get("QRCode")).removeprefix("data:image/png;base64,")
    try:
        picture = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return picture if picture.startswith(_PNG) else None


def _says_no_rows(document: dict[str, Any]) -> bool:
    if text_of(document.get("ResponseCode")) == _NO_ROWS_CODE:
        return True
    _, text = read_error(document)
    told = f"{text} {text_of(document.get('ResponseMessage'))}".lower()
    return any(known in told for known in _NO_ROWS_TEXTS)


def _read_page(listed: list[Any]) -> PullPage:
    rows = [_read_row(row) for row in _flatten(listed)]
    sound = tuple(row for row in rows if row is not None)
    return PullPage(sound, unreadable=len(rows) - len(sound))


def _flatten(listed: list[Any]) -> Iterator[Any]:
    for entry in listed:
        if isinstance(entry, list):
            yield from entry
        else:
            yield entry


def _read_row(row: Any) -> PulledRow | None:
    if not isinstance(row, dict):
        return None
    values = {name.lower(): value for name, value in row.items()}
    receipt = read_receipt(values.get("transactionid"))
    kind = clean(text_of(values.get("transactiontype")), _LONGEST_NAME)
    amount_cents = read_signed_cents(values.get("amount"))
    transacted_at = _read_pulled_moment(values.get("trxdate"))
    if receipt is None or amount_cents is None or transacted_at is None:
        return None
    return PulledRow(
        receipt=receipt,
        amount_cents=amount_cents,
        transacted_at=transacted_at,
        msisdn=clean(text_of(values.get("msisdn")), _LONGEST_PHONE),
        bill_reference=clean(text_of(values.get("billreference")), _LONGEST_REFERENCE),
        kind=kind,
        sender=clean(text_of(values.get("sender")), _LONGEST_NAME),
    )


def _read_pulled_moment(value: Any) -> datetime | None:
    """``2020-08-05T10:13:00Z``: the zone is believed if one is named; without one it is Nairobi's.

    Nobody has shown whether Safaricom's Z is true, so rows are told apart by receipts, not by this.
    """
    text = text_of(value)
    if not _PULLED_MOMENT.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=EAT)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
