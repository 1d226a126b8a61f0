"""Read and check the bodies of registerurl and simulate."""

import re
from dataclasses import dataclass
from enum import StrEnum

from daraja_simulator.config import SimulatorConfig
from daraja_simulator.fields import (
    PHONE,
    Payload,
    read_amount,
    read_choice,
    read_matching,
    read_text,
    read_url,
)
from daraja_simulator.merchants import SHORTCODE, Merchant, TransactionType
from daraja_simulator.wire import Refused, invalid_field

_SANDBOX_PAYBILL = "174379"
_ACCOUNT_LIMIT = 20
_WHOLE = re.compile(r"[0-9]{1,9}")
_WRITTEN_PHONE = re.compile(r"(?:\+?254|0)?([17][0-9]{8})")


class ResponseType(StrEnum):
    """What M-Pesa does when nobody answers a validation; the case matters."""

    COMPLETED = "Completed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    merchant: Merchant
    shortcode: str
    response_type: ResponseType
    confirmation_url: str
    validation_url: str


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A customer pays by the menu of the phone."""

    merchant: Merchant
    phone: str
    amount: int
    account: str


def read_register(payload: Payload, config: SimulatorConfig) -> RegisterRequest:
    merchant = _read_merchant(payload, config)
    response_type = read_choice(payload, "ResponseType", tuple(ResponseType))
    strict = config.strict_callback_urls
    return RegisterRequest(
        merchant,
        read_matching(payload, "ShortCode", SHORTCODE),
        ResponseType(response_type),
        read_url(payload, "ConfirmationURL", strict=strict),
        read_url(payload, "ValidationURL", strict=strict),
    )


def read_simulate(payload: Payload, config: SimulatorConfig) -> PaymentRequest:
    merchant = _read_merchant(payload, config)
    kind = read_choice(payload, "CommandID", tuple(TransactionType))
    if kind != merchant.transaction_type:
        raise Refused(invalid_field("CommandID"))
    amount = read_amount(payload)
    phone = read_matching(payload, "Msisdn", PHONE)
    lowest = 0 if merchant.till else 1
    account = read_text(payload, "BillRefNumber", lowest, _ACCOUNT_LIMIT)
    return PaymentRequest(merchant, phone, amount, "" if merchant.till else account)


def read_payment(body: Payload, config: SimulatorConfig) -> PaymentRequest:
    """What a person fills in: `shortcode`, `phone`, `amount`, `account`.

    Raises ValueError with a sentence for that person.
    """
    merchant = config.find_receiver(str(body.get("shortcode") or ""))
    if merchant is None:
        raise ValueError("No merchant has that paybill or till.")
    phone = normalise_phone(str(body.get("phone") or ""))
    amount = str(body.get("amount") or "").strip()
    if not _WHOLE.fullmatch(amount) or int(amount) < 1:
        raise ValueError("The amount is in whole shillings, one or more.")
    account = str(body.get("account") or "").strip()
    if len(account) > _ACCOUNT_LIMIT or not (account or merchant.till):
        raise ValueError(f"An account of 1 to {_ACCOUNT_LIMIT} characters goes with a paybill.")
    return PaymentRequest(merchant, phone, int(amount), "" if merchant.till else account)


def normalise_phone(text: str) -> str:
    """As people write it; raises ValueError for what is no Kenyan mobile number."""
    found = _WRITTEN_PHONE.fullmatch(re.sub(r"[\s()./-]", "", text))
    if found is None:
        raise ValueError("That is no Kenyan mobile number.")
    return f"254{found[1]}"


def _read_merchant(payload: Payload, config: SimulatorConfig) -> Merchant:
    shortcode = read_matching(payload, "ShortCode", SHORTCODE)
    merchant = config.find_receiver(shortcode)
    if merchant is None or (config.refuse_174379 and shortcode == _SANDBOX_PAYBILL):
        raise Refused(invalid_field("ShortCode"))
    return merchant
