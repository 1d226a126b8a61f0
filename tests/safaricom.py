"""What Safaricom posts, as bytes, and what it lists."""

import json
from typing import Any

from app.ports import PulledRow
from tests.core import after


def callback_body(
    merchant_request_id: str,
    checkout_request_id: str,
    *,
    code: int | str = 0,
    amount: float | None = 1500,
    receipt: str | None = "UKM0000001",
    **extra: Any,
) -> bytes:
    """The body of an M-Pesa Express callback; metadata come with a success alone."""
    callback: dict[str, Any] = {
        "MerchantRequestID": merchant_request_id,
        "CheckoutRequestID": checkout_request_id,
        "ResultCode": code,
        "ResultDesc": "The service request is processed successfully.",
        **extra,
    }
    if code == 0:
        items = [
            {"Name": "Amount", "Value": amount},
            {"Name": "MpesaReceiptNumber", "Value": receipt},
            {"Name": "Balance"},
            {"Name": "TransactionDate", "Value": 20261122120009},
            {"Name": "PhoneNumber", "Value": 254700000001},
        ]
        callback["CallbackMetadata"] = {
            "Item": [item for item in items if item.get("Value", "") is not None]
        }
    return json.dumps({"Body": {"stkCallback": callback}}).encode()


def notice_body(
    account: str = "",
    *,
    receipt: str = "UKM9000001",
    amount: str = "1500.00",
    phone: str = "2547 ***** 001",
    moment: str = "20261122120030",
    shortcode: str = "174379",
    **changes: Any,
) -> bytes:
    """The body of a C2B validation or confirmation; ``moment`` is Nairobi's time."""
    notice = {
        "TransactionType": "Pay Bill",
        "TransID": receipt,
        "TransTime": moment,
        "TransAmount": amount,
        "BusinessShortCode": shortcode,
        "BillRefNumber": account,
        "InvoiceNumber": "",
        "OrgAccountBalance": "49197.00",
        "ThirdPartyTransID": "",
        "MSISDN": phone,
        "FirstName": "WANJIKU",
        "MiddleName": "",
        "LastName": "",
    }
    return json.dumps({**notice, **changes}).encode()


def result_body(
    conversation_id: str = "",
    originator_id: str = "",
    *,
    code: int | str = 0,
    receipt: str | None = "UKM0000R01",
    parameters: dict[str, Any] | None = None,
    **extra: Any,
) -> bytes:
    """The body of a result that comes later; a failure has a placeholder for a receipt."""
    result: dict[str, Any] = {
        "ResultType": 0,
        "ResultCode": code,
        "ResultDesc": "The service request is processed successfully.",
        "OriginatorConversationID": originator_id,
        "ConversationID": conversation_id,
        "TransactionID": "UKM0000000" if receipt is None or code != 0 else receipt,
        "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://x"}},
        **extra,
    }
    if parameters is not None:
        result["ResultParameters"] = {
            "ResultParameter": [{"Key": name, "Value": value} for name, value in parameters.items()]
        }
    return json.dumps({"Result": result}).encode()


def listed_row(receipt: str, reference: str = "", **fields: Any) -> PulledRow:
    """A row of Safaricom's list as it is read: KES 1500, a minute after the tests' beginning."""
    return PulledRow(
        **{
            "receipt": receipt,
            "amount_cents": 150_000,
            "transacted_at": after(minutes=1),
            "msisdn": "",
            "bill_reference": reference,
            "kind": "c2b-pay-bill-debit",
            "sender": "WANJIKU",
            **fields,
        }
    )
