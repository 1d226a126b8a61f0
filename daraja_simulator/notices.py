"""The bodies of C2B validations and confirmations, and how a shop's answer is read."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from daraja_simulator.c2b_outcomes import NoticeDisguise
from daraja_simulator.config import PhoneShape
from daraja_simulator.delivery import Delivery
from daraja_simulator.merchants import Merchant
from daraja_simulator.people import Name, name_of
from daraja_simulator.wire import print_json, print_moment

ACCEPTED = "0"
OTHER_ERROR = "C2B00016"
REJECTIONS = frozenset(f"C2B000{number}" for number in range(11, 17))


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told of a payment. Without a balance it is a validation, and no money has moved."""

    transaction_id: str
    merchant: Merchant
    phone: str
    amount: int
    account: str
    moment: datetime
    third_party_id: str = ""
    balance_cents: int | None = None


def build_notice(
    notice: Notice, shape: PhoneShape, version: str, disguise: NoticeDisguise = NoticeDisguise.NONE
) -> bytes:
    """A flat object in which every value is text."""
    shapes = {
        NoticeDisguise.HASHED_PHONE: PhoneShape.HASHED,
        NoticeDisguise.PLAIN_PHONE: PhoneShape.PLAIN,
    }
    shape = shapes.get(disguise, shape)
    name = Name("", "", "") if disguise is NoticeDisguise.NO_NAMES else name_of(notice.phone)
    kind = "Buy Goods" if notice.merchant.till else "Pay Bill"
    amount = notice.amount + (disguise is NoticeDisguise.WRONG_AMOUNT)
    cents = notice.balance_cents
    text = print_json(
        {
            "TransactionType": "" if disguise is NoticeDisguise.NO_TYPE else kind,
            "TransID": notice.transaction_id,
            "TransTime": print_moment(notice.moment),
            "TransAmount": f"{amount}.00",
            "BusinessShortCode": notice.merchant.receiver,
            "BillRefNumber": notice.account,
            "InvoiceNumber": "",
            "OrgAccountBalance": "" if cents is None else str(Decimal(cents).scaleb(-2)),
            "ThirdPartyTransID": notice.third_party_id,
            "MSISDN": print_phone(notice.phone, shape, version),
            "FirstName": name.first,
            "MiddleName": name.middle,
            "LastName": name.last,
        }
    )
    if disguise is NoticeDisguise.MALFORMED:
        text = text[: len(text) * 2 // 3]
    return text.encode()


def print_phone(phone: str, shape: PhoneShape, version: str) -> str:
    if shape is PhoneShape.BY_VERSION:
        shape = PhoneShape.HASHED if version == "v1" else PhoneShape.MASKED
    if shape is PhoneShape.HASHED:
        return hashlib.sha256(phone.encode()).hexdigest()
    if shape is PhoneShape.MASKED:
        return f"{phone[:4]} ***** {phone[-3:]}"
    return phone


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a shop said to a validation; `code` is ACCEPTED, or why it wants no money."""

    code: str
    third_party_id: str = ""


def read_verdict(delivery: Delivery) -> Verdict | None:
    """None when there was no answer that can be read: then the registered ResponseType decides."""
    if not delivery.was_received:
        return None
    try:
        answer: Any = json.loads(delivery.answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("ResultCode"), str | int):
        return None
    code = str(answer["ResultCode"]).strip()
    if code and not code.strip("0"):
        return Verdict(ACCEPTED, str(answer.get("ThirdPartyTransID") or ""))
    return Verdict(code if code in REJECTIONS else OTHER_ERROR)
