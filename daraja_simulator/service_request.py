"""Read and check the bodies of service requests, each in the manual's order."""

import re
from dataclasses import dataclass, field

from daraja_simulator.apis import Api
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.fields import (
    PHONE,
    Payload,
    read_amount,
    read_choice,
    read_exact_amount,
    read_matching,
    read_text,
    read_url,
    text_of,
)
from daraja_simulator.merchants import SHORTCODE
from daraja_simulator.wire import Refused, invalid_field

_RECEIPT = re.compile(r"[A-Z0-9]{8,12}")
_ORIGINATOR_ID = re.compile(r"[!-~]{1,100}")
_PARTY = re.compile(rf"{SHORTCODE.pattern}|{PHONE.pattern}")

_PAYOUTS = ("BusinessPayment", "SalaryPayment", "PromotionPayment")
_TRANSFERS = ("BusinessPayBill", "BusinessBuyGoods", "BusinessPayToBulk")
_REMITTANCES = ("PayTaxToKRA",)
_IDENTIFIERS = ("1", "2", "4")
_REVERSAL_IDENTIFIERS = ("11",)
_REMARKS_LIMIT = 100
_ACCOUNT_LIMIT = 13
_NAME_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request whose fields are all well formed; what its API does not have is empty."""

    api: Api
    initiator: str
    credential: str = field(repr=False)
    command: str
    shortcode: str
    result_url: str
    timeout_url: str
    occasion: str = ""
    originator_id: str = ""
    amount_cents: int = 0
    receiver: str = ""
    account: str = ""
    receipt: str = ""
    conversation_id: str = ""


def read_payout(payload: Payload, config: SimulatorConfig, version: str) -> Ask:
    """B2C. Only v3 has an id of the caller's."""
    originator_id = ""
    if version != "v1":
        originator_id = read_matching(payload, "OriginatorConversationID", _ORIGINATOR_ID)
    initiator, credential = _read_initiator(payload, "InitiatorName")
    command = read_choice(payload, "CommandID", _PAYOUTS)
    amount = read_amount(payload)
    shortcode = read_matching(payload, "PartyA", SHORTCODE)
    phone = read_matching(payload, "PartyB", PHONE)
    read_text(payload, "Remarks", 2, _REMARKS_LIMIT)
    timeout_url, result_url = _read_urls(payload, config, "QueueTimeOutURL", "ResultURL")
    return Ask(
        api=Api.B2C,
        initiator=initiator,
        credential=credential,
        command=command,
        shortcode=shortcode,
        result_url=result_url,
        timeout_url=timeout_url,
        occasion=_read_occasion(payload),
        originator_id=originator_id,
        amount_cents=amount * 100,
        receiver=phone,
    )


def read_reversal(payload: Payload, config: SimulatorConfig) -> Ask:
    initiator, credential = _read_initiator(payload, "Initiator")
    command = read_choice(payload, "CommandID", ("TransactionReversal",))
    receipt = read_matching(payload, "TransactionID", _RECEIPT)
    amount = read_exact_amount(payload)
    shortcode = read_matching(payload, "ReceiverParty", SHORTCODE)
    read_choice(payload, "RecieverIdentifierType", _REVERSAL_IDENTIFIERS)  # their spelling
    result_url, timeout_url = _read_urls(payload, config, "ResultURL", "QueueTimeOutURL")
    read_text(payload, "Remarks", 2, _REMARKS_LIMIT)
    return Ask(
        api=Api.REVERSAL,
        initiator=initiator,
        credential=credential,
        command=command,
        shortcode=shortcode,
        result_url=result_url,
        timeout_url=timeout_url,
        occasion=_read_occasion(payload),
        amount_cents=int(amount * 100),
        receipt=receipt,
    )


def read_status(payload: Payload, config: SimulatorConfig) -> Ask:
    """By receipt, by the id of a conversation (under either of its two names), or by both."""
    initiator, credential = _read_initiator(payload, "Initiator")
    command = read_choice(payload, "CommandID", ("TransactionStatusQuery",))
    receipt = _read_optional(payload, "TransactionID", _RECEIPT)
    conversation_id = _read_optional(
        payload, "OriginalConversationID", _ORIGINATOR_ID
    ) or _read_optional(payload, "OriginatorConversationID", _ORIGINATOR_ID)
    if not receipt and not conversation_id:
        raise Refused(invalid_field("TransactionID"))
    shortcode = read_matching(payload, "PartyA", _PARTY)
    read_choice(payload, "IdentifierType", _IDENTIFIERS)
    result_url, timeout_url = _read_urls(payload, config, "ResultURL", "QueueTimeOutURL")
    read_text(payload, "Remarks", 1, _REMARKS_LIMIT)
    return Ask(
        api=Api.STATUS,
        initiator=initiator,
        credential=credential,
        command=command,
        shortcode=shortcode,
        result_url=result_url,
        timeout_url=timeout_url,
        occasion=_read_occasion(payload),
        receipt=receipt,
        conversation_id=conversation_id,
    )


def read_balance(payload: Payload, config: SimulatorConfig) -> Ask:
    initiator, credential = _read_initiator(payload, "Initiator")
    command = read_choice(payload, "CommandID", ("AccountBalance",))
    shortcode = read_matching(payload, "PartyA", SHORTCODE)
    read_choice(payload, "IdentifierType", _IDENTIFIERS)
    read_text(payload, "Remarks", 1, _REMARKS_LIMIT)
    timeout_url, result_url = _read_urls(payload, config, "QueueTimeOutURL", "ResultURL")
    return Ask(
        api=Api.BALANCE,
        initiator=initiator,
        credential=credential,
        command=command,
        shortcode=shortcode,
        result_url=result_url,
        timeout_url=timeout_url,
    )


def read_transfer(payload: Payload, config: SimulatorConfig, *, is_tax: bool = False) -> Ask:
    """B2B."""
    initiator, credential = _read_initiator(payload, "Initiator")
    command = read_choice(payload, "CommandID", _REMITTANCES if is_tax else _TRANSFERS)
    read_choice(payload, "SenderIdentifierType", _IDENTIFIERS)
    read_choice(payload, "RecieverIdentifierType", _IDENTIFIERS)
    amount = read_amount(payload)
    shortcode = read_matching(payload, "PartyA", SHORTCODE)
    receiver = read_matching(payload, "PartyB", SHORTCODE)
    lowest = 1 if command in {"BusinessPayBill", *_REMITTANCES} else 0
    account = read_text(payload, "AccountReference", lowest, _ACCOUNT_LIMIT)
    _read_optional(payload, "Requester", PHONE)
    read_text(payload, "Remarks", 1, _REMARKS_LIMIT)
    timeout_url, result_url = _read_urls(payload, config, "QueueTimeOutURL", "ResultURL")
    return Ask(
        api=Api.B2B,
        initiator=initiator,
        credential=credential,
        command=command,
        shortcode=shortcode,
        result_url=result_url,
        timeout_url=timeout_url,
        occasion=_read_occasion(payload),
        amount_cents=amount * 100,
        receiver=receiver,
        account=account,
    )


def _read_initiator(payload: Payload, name: str) -> tuple[str, str]:
    """Whether they are known and right shows only in the result."""
    initiator = read_text(payload, name, 1, _NAME_LIMIT)
    credential = payload.get("SecurityCredential")
    if not isinstance(credential, str) or not credential:
        raise Refused(invalid_field("SecurityCredential"))
    return initiator, credential


def _read_urls(
    payload: Payload, config: SimulatorConfig, first: str, second: str
) -> tuple[str, str]:
    strict = config.strict_callback_urls
    return read_url(payload, first, strict=strict), read_url(payload, second, strict=strict)


def _read_optional(payload: Payload, name: str, pattern: re.Pattern[str]) -> str:
    return read_matching(payload, name, pattern) if text_of(payload.get(name)) else ""


def _read_occasion(payload: Payload) -> str:
    """Optional, and about in two spellings."""
    name = "Occassion" if "Occassion" in payload else "Occasion"
    return read_text(payload, name, 0, _REMARKS_LIMIT)
