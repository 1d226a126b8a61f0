"""The notice of a payment that the payer began: Pay Bill or Buy Goods from the M-Pesa menu."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from app.integrations.mpesa.fields import (
    UnreadableMessage,
    clean,
    load_message,
    read_amount_cents,
    read_balance_cents,
    read_moment,
    read_receipt,
    text_of,
)

_SHORTCODE = re.compile(r"[0-9]{5,7}")
_NAMES = ("FirstName", "MiddleName", "LastName")
_LONGEST_REFERENCE = 40
_LONGEST_PHONE = 64
_LONGEST_NAME = 120
_LONGEST_ID = 100
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class C2bNotice:
    """A payment from the menu as the notice claims it; nothing in it is proven.

    ``bill_reference`` is what the payer typed, ``msisdn`` whatever Safaricom shows of the payer:
    the number, a mask or a hash. Texts that are missing are empty. ``balance_cents`` is our
    account's after it, and comes with the confirmation alone. The moment is None if it cannot be
    read: money without a date is money.
    """

    receipt: str
    amount_cents: int
    bill_reference: str
    transacted_at: datetime | None
    shortcode: str
    msisdn: str
    payer_name: str
    third_party_id: str
    balance_cents: int | None


def read_c2b_notice(raw: bytes) -> C2bNotice:
    """Read a validation or a confirmation. Raises UnreadableMessage and nothing else.

    Daraja, C2B: one flat object whose values are all texts; ``TransactionType`` is empty at times,
    so nothing hangs on it.
    """
    notice = load_message(raw)
    if not isinstance(notice, dict):
        raise UnreadableMessage("no object")
    return C2bNotice(
        receipt=_need(read_receipt(notice.get("TransID")), "TransID"),
        amount_cents=_need(
            read_amount_cents(notice.get("TransAmount"), as_text=True), "TransAmount"
        ),
        bill_reference=_read_text(notice, "BillRefNumber", _LONGEST_REFERENCE),
        transacted_at=read_moment(notice.get("TransTime")),
        shortcode=_need(_read_shortcode(notice), "BusinessShortCode"),
        msisdn=_read_text(notice, "MSISDN", _LONGEST_PHONE),
        payer_name=clean(" ".join(_read_names(notice)), _LONGEST_NAME),
        third_party_id=_read_text(notice, "ThirdPartyTransID", _LONGEST_ID),
        balance_cents=read_balance_cents(notice.get("OrgAccountBalance")),
    )


def _need(value: Value | None, name: str) -> Value:
    if value is None:
        raise UnreadableMessage(f"{name} is missing or malformed")
    return value


def _read_shortcode(notice: dict[str, Any]) -> str | None:
    text = text_of(notice.get("BusinessShortCode"))
    return text if _SHORTCODE.fullmatch(text) else None


def _read_names(notice: dict[str, Any]) -> list[str]:
    return [name for name in (_read_text(notice, key, _LONGEST_NAME) for key in _NAMES) if name]


def _read_text(notice: dict[str, Any], name: str, longest: int) -> str:
    return clean(text_of(notice.get(name)), longest)
