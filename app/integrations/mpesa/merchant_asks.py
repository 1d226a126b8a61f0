"""The bodies of the requests beyond M-Pesa Express, and what Safaricom's manual forbids in them.

Every function raises ValueError, before anything is sent, for what can only be refused. Numbers go
out as text, as in all of the manual's samples.
"""

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from app.integrations.mpesa.fields import is_identifier
from app.ports import BalanceAsk, PayoutAsk, QrAsk, ReversalAsk, StatusAsk
from app.utils.clock import EAT
from app.utils.money import CENTS_PER_SHILLING

LONGEST_PULL = timedelta(hours=48)

_RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
_MSISDN = re.compile(r"254[17][0-9]{8}")
_ORIGINATOR = re.compile(r"[A-Za-z0-9_-]{1,100}")
_REMARKS = re.compile(r"[A-Za-z0-9 -]{2,100}")
_BILL_REFERENCE = re.compile(r"[\x20-\x7e]{0,20}")
_QR_TEXT = re.compile(r"[\x20-\x7e]{1,100}")
_QR_SIZES = range(50, 1001)


def build_reversal(ask: ReversalAsk, shortcode: str) -> dict[str, Any]:
    """Daraja, Reversal: the name of ``RecieverIdentifierType`` is theirs, and 11 stands for an
    organisation here alone.
    """
    _check(_RECEIPT.fullmatch(ask.receipt), "receipt must be 6 to 20 capitals and digits")
    return {
        "CommandID": "TransactionReversal",
        "TransactionID": ask.receipt,
        "Amount": _shillings_of(ask.amount_cents),
        "ReceiverParty": shortcode,
        "RecieverIdentifierType": "11",
        **_report_to(ask),
    }


def build_payout(ask: PayoutAsk, shortcode: str) -> dict[str, Any]:
    """Daraja, B2C v3: of two requests with one ``OriginatorConversationID`` the second does
    nothing. ``Occassion`` is spelled so.
    """
    _check(_ORIGINATOR.fullmatch(ask.originator_id), "originator_id must be letters and digits")
    return {
        "OriginatorConversationID": ask.originator_id,
        "CommandID": "BusinessPayment",
        "Amount": _whole(ask.amount_shillings),
        "PartyA": shortcode,
        "PartyB": _phone(ask.msisdn),
        **_report_to(ask),
        "Occassion": ask.remarks,
    }


def build_status(ask: StatusAsk, shortcode: str) -> dict[str, Any]:
    """Daraja, Transaction Status: older pages name the other request ``OriginatorConversationID``,
    newer ones ``OriginalConversationID``, so it goes under both.
    """
    _check(ask.receipt or ask.conversation_id, "receipt or conversation_id must be given")
    body: dict[str, Any] = {"CommandID": "TransactionStatusQuery"}
    if ask.receipt is not None:
        _check(_RECEIPT.fullmatch(ask.receipt), "receipt must be 6 to 20 capitals and digits")
        body["TransactionID"] = ask.receipt
    if ask.conversation_id is not None:
        _check(is_identifier(ask.conversation_id), "conversation_id must be printable")
        body["OriginalConversationID"] = ask.conversation_id
        body["OriginatorConversationID"] = ask.conversation_id
    return body | {
        "PartyA": shortcode,
        "IdentifierType": "4",
        **_report_to(ask),
        "Occasion": ask.remarks,
    }


def build_balance(ask: BalanceAsk, shortcode: str) -> dict[str, Any]:
    """Daraja, Account Balance."""
    return {
        "CommandID": "AccountBalance",
        "PartyA": shortcode,
        "IdentifierType": "4",
        **_report_to(ask),
    }


def build_pull(start: datetime, end: datetime, offset: int, shortcode: str) -> dict[str, Any]:
    """Daraja, Pull Transactions: times of Nairobi; the offset counts rows, not pages."""
    _check(start.tzinfo and end.tzinfo, "start and end must know their zones")
    _check(start < end, "end must be after start")
    _check(end - start <= LONGEST_PULL, "start and end must be at most 48 hours apart")
    _check(_is_whole(offset) and offset >= 0, "offset must be a whole number from 0")
    return {
        "ShortCode": shortcode,
        "StartDate": f"{start.astimezone(EAT):%Y-%m-%d %H:%M:%S}",
        "EndDate": f"{end.astimezone(EAT):%Y-%m-%d %H:%M:%S}",
        "OffSetValue": str(offset),
    }


def build_pull_registration(msisdn: str, callback_url: str, shortcode: str) -> dict[str, Any]:
    """Daraja, Pull Transactions: the phone is the one on record for the shortcode."""
    return {
        "ShortCode": shortcode,
        "RequestType": "Pull",
        "NominatedNumber": _phone(msisdn),
        "CallBackURL": _address(callback_url),
    }


def build_c2b_registration(
    confirmation_url: str, validation_url: str, shortcode: str, *, cancel_when_unreachable: bool
) -> dict[str, Any]:
    """Daraja, C2B: ``ResponseType`` is what becomes of a payment that nobody validates in time."""
    return {
        "ShortCode": shortcode,
        "ResponseType": "Cancelled" if cancel_when_unreachable else "Completed",
        "ConfirmationURL": _address(confirmation_url),
        "ValidationURL": _address(validation_url),
    }


def build_c2b_simulation(
    msisdn: str, amount_shillings: int, bill_reference: str | None, shortcode: str
) -> dict[str, Any]:
    """Daraja, C2B: a till takes no reference."""
    if bill_reference is not None:
        _check(_BILL_REFERENCE.fullmatch(bill_reference), "bill_reference must be 20 at most")
    is_till = bill_reference is None
    return {
        "ShortCode": shortcode,
        "CommandID": "CustomerBuyGoodsOnline" if is_till else "CustomerPayBillOnline",
        "Amount": _whole(amount_shillings),
        "Msisdn": _phone(msisdn),
        "BillRefNumber": bill_reference,
    }


def build_qr(ask: QrAsk, number: str, *, is_till: bool) -> dict[str, Any]:
    """Daraja, Dynamic QR: ``CPI`` is who is paid, BG and PB are the kinds of it."""
    _check(_QR_TEXT.fullmatch(ask.merchant_name), "merchant_name must be 1 to 100 plain characters")
    _check(_QR_TEXT.fullmatch(ask.reference), "reference must be 1 to 100 plain characters")
    _check(ask.size_pixels in _QR_SIZES, "size_pixels must be from 50 to 1000")
    return {
        "MerchantName": ask.merchant_name,
        "RefNo": ask.reference,
        "Amount": int(_whole(ask.amount_shillings)),
        "TrxCode": "BG" if is_till else "PB",
        "CPI": number,
        "Size": str(ask.size_pixels),
    }


def _report_to(ask: ReversalAsk | PayoutAsk | StatusAsk | BalanceAsk) -> dict[str, Any]:
    _check(_REMARKS.fullmatch(ask.remarks), "remarks must be 2 to 100 letters, digits, spaces, -")
    return {
        "Remarks": ask.remarks,
        "QueueTimeOutURL": _address(ask.timeout_url),
        "ResultURL": _address(ask.result_url),
    }


def _check(sound: object, complaint: str) -> None:
    if not sound:
        raise ValueError(complaint)


def _address(url: str) -> str:
    parts = urlsplit(url)
    is_whole = parts.scheme in {"http", "https"} and parts.hostname
    _check(is_whole, "every address must be an absolute web address")  # it may carry a secret
    return url


def _phone(msisdn: str) -> str:
    _check(_MSISDN.fullmatch(msisdn), "msisdn must be like 254712345678")
    return msisdn


def _whole(shillings: int) -> str:
    sound = _is_whole(shillings) and shillings >= 1
    _check(sound, "amount_shillings must be a whole number from 1")
    return str(shillings)


def _shillings_of(cents: int) -> str:
    """``1500`` or ``1500.50``: to the cent what was paid."""
    _check(_is_whole(cents) and cents >= 1, "amount_cents must be a whole number from 1")
    shillings, rest = divmod(cents, CENTS_PER_SHILLING)
    return f"{shillings}.{rest:02}" if rest else str(shillings)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
