"""Readers of what Safaricom sends: strict about meaning, tolerant about shape.

They are fed by strangers, so each answers with a value or raises UnreadableMessage, whatever the
bytes are.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from app.integrations.mpesa.errors import scrub_text
from app.integrations.mpesa.fields import (
    clean,
    code_of,
    find_object,
    is_result_code,
    load_message,
    read_amount_cents,
    read_identifier,
    read_moment,
    read_pairs,
    read_receipt,
    read_result_code,
    text_of,
)
from app.integrations.mpesa.result_codes import FINAL_FAILURES, SUCCESS
from app.ports import PushStatus, Verdict

_MSISDN = re.compile(r"254[17][0-9]{8}")


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
    callback = find_object(find_object(load_message(raw), "Body"), "stkCallback")
    items = _read_items(callback.get("CallbackMetadata"))
    return StkCallback(
        merchant_request_id=read_identifier(callback, "MerchantRequestID"),
        checkout_request_id=read_identifier(callback, "CheckoutRequestID"),
        result_code=read_result_code(callback.get("ResultCode")),
        result_desc=clean(callback.get("ResultDesc")),
        amount_cents=read_amount_cents(items.get("Amount")),
        receipt=read_receipt(items.get("MpesaReceiptNumber")),
        transaction_time=read_moment(items.get("TransactionDate")),
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
    code = text_of(document.get("ResultCode"))
    desc = clean(document.get("ResultDesc"))
    if code == SUCCESS:
        return PushStatus(Verdict.PAID, code, desc)
    if code in FINAL_FAILURES:
        return PushStatus(Verdict.FAILED, code, desc)
    known = code if is_result_code(code) else None
    return PushStatus(Verdict.NONE, known, desc or "No final result")


def _doubt_query(status: int, document: Any, checkout_request_id: str) -> str | None:
    """Why the answer to a query says nothing about the prompt, or None."""
    if not isinstance(document, dict):
        return f"HTTP {status} without a readable body"
    if "errorCode" in document or "fault" in document:
        return describe_error(status, document)
    if status != HTTPStatus.OK or text_of(document.get("ResponseCode")) != "0":
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
        return code_of(code), clean(fault.get("faultstring"))
    return code_of(document.get("errorCode")), clean(document.get("errorMessage"))


def _read_items(metadata: Any) -> dict[str, Any]:
    listed = metadata.get("Item") if isinstance(metadata, dict) else None
    return read_pairs(listed, name="Name", value="Value")


def _read_msisdn(value: Any) -> str | None:
    """A whole Kenyan number, or None: a masked or hashed one is of no use."""
    text = text_of(value)
    return text if _MSISDN.fullmatch(text) else None
