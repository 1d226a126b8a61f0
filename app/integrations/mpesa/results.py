"""The results that Safaricom reports later, at an address of ours: one shape for many APIs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from app.integrations.mpesa.fields import (
    UnreadableMessage,
    clean,
    is_identifier,
    load_message,
    parse_moment,
    read_amount_cents,
    read_balance_cents,
    read_moment,
    read_pairs,
    read_receipt,
    read_result_code,
    text_of,
)
from app.integrations.mpesa.result_codes import SUCCESS

_PLACEHOLDER = re.compile(r"[A-Z0-9]{1,4}0{6,}")
_LONGEST_VALUE = 4000
_LARGEST_EXPONENT = 30
_KES = "KES"
_ENDED_WITHOUT_MONEY = frozenset({"failed", "cancelled", "declined", "expired"})
_FIELDS_READ = 3
_MOMENTS = (
    "FinalisedTime",
    "FinalizedTime",
    "TransCompletedTime",
    "TransactionCompletedDateTime",
    "InitiatedTime",
)


@dataclass(frozen=True, slots=True)
class ApiResult:
    """What became of a request, as the message claims; nothing in it is proven.

    ``receipt`` is that of the money which this very request moved, and None where it failed or
    moves none. ``parameters`` go by their names without spaces; one that came without a value, or
    with two different ones, is empty. Ids that are missing are empty.
    """

    result_code: str
    result_desc: str
    receipt: str | None
    originator_conversation_id: str
    conversation_id: str
    parameters: Mapping[str, str]

    @property
    def claims_success(self) -> bool:
        """Whether the message says that what was asked for was done."""
        return self.result_code == SUCCESS


@dataclass(frozen=True, slots=True)
class TransactionFacts:
    """What M-Pesa's books say of one transaction. Texts that are missing are empty."""

    receipt: str | None
    status: str
    amount_cents: int | None
    debit_party: str
    credit_party: str
    transacted_at: datetime | None
    reason: str

    @property
    def is_completed(self) -> bool:
        """Whether the money is where it was to go, and was not fetched back."""
        return self.status.lower() == "completed"

    @property
    def is_failed(self) -> bool:
        """Whether it ended without moving money. A state that we do not know is neither."""
        return self.status.lower() in _ENDED_WITHOUT_MONEY

    @property
    def is_reversed(self) -> bool:
        """Whether the money went back."""
        return "reversed" in self.status.lower()


@dataclass(frozen=True, slots=True)
class QueueTimeout:
    """M-Pesa's queue gave a request up: what became of it is unknown. Ids it names, or nothing."""

    originator_conversation_id: str
    conversation_id: str


def read_api_result(raw: bytes) -> ApiResult:
    """Read the result of a reversal, a payout, a question. Raises UnreadableMessage alone.

    Daraja: ``Result`` holds the code (number or text), ids, and on success ``ResultParameters``,
    whose ``ResultParameter`` is a list, or a bare object, or the list stands in its place. After a
    failure ``TransactionID`` is a placeholder, such as ``OAK0000000``.
    """
    message = load_message(raw)
    result = message.get("Result", message) if isinstance(message, dict) else None
    if not isinstance(result, dict):
        raise UnreadableMessage("Result is missing or no object")
    code = read_result_code(result.get("ResultCode"))
    parameters = _read_parameters(result.get("ResultParameters"))
    return ApiResult(
        result_code=code,
        result_desc=clean(result.get("ResultDesc")),
        receipt=_find_receipt(result, parameters) if code == SUCCESS else None,
        originator_conversation_id=_read_id(result, "OriginatorConversationID"),
        conversation_id=_read_id(result, "ConversationID"),
        parameters=parameters,
    )


def read_moved_cents(result: ApiResult) -> int | None:
    """How much money this very request moved; None where the message does not say it."""
    said = _first(result.parameters, "Amount", "TransactionAmount")
    return read_amount_cents(said, as_text=True) if result.claims_success else None


def read_transaction_facts(result: ApiResult) -> TransactionFacts:
    """Read the answer to a status question. Raises UnreadableMessage for one without facts.

    Daraja, Transaction Status: ``ResultCode`` 0 says that the question was answered; what became
    of the transaction stands in ``TransactionStatus``.
    """
    known = result.parameters
    status = known.get("TransactionStatus", "")
    if not result.claims_success or not status:
        raise UnreadableMessage(f"no state of a transaction, but {result.result_code}")
    return TransactionFacts(
        receipt=_real_receipt(_first(known, "ReceiptNo", "TransactionReceipt")),
        status=status,
        amount_cents=read_amount_cents(_first(known, "Amount", "TransactionAmount"), as_text=True),
        debit_party=_first(known, "DebitPartyName", "DebitPartyPublicName"),
        credit_party=_first(known, "CreditPartyName", "CreditPartyPublicName"),
        transacted_at=_read_result_moment(_first(known, *_MOMENTS)),
        reason=": ".join(filter(None, map(known.get, ("ReasonType", "TransactionReason")))),
    )


def read_balances(result: ApiResult) -> dict[str, int]:
    """Read the answer to a balance question: cents by ``utility``, ``working``, ``charges_paid``.

    Daraja, Account Balance: accounts with & between them, their fields with |: name, currency,
    numbers. Sources disagree about all numbers but the first. An account that cannot be read is
    left out. Raises UnreadableMessage where none can.
    """
    listed = result.parameters.get("AccountBalance", "") if result.claims_success else ""
    balances: dict[str, int] = {}
    doubtful: set[str] = set()
    for account in listed.split("&"):
        name, cents = _read_account(account)
        if cents is None or balances.get(name, cents) != cents:
            doubtful.add(name)
        else:
            balances[name] = cents
    sound = {name: cents for name, cents in balances.items() if name not in doubtful}
    if not sound:
        raise UnreadableMessage(f"no balances, but {result.result_code}")
    return sound


def read_queue_timeout(raw: bytes) -> QueueTimeout:
    """Read a notice that nobody has documented: any JSON will do. Raises UnreadableMessage."""
    message = load_message(raw)
    if isinstance(message, dict) and isinstance(message.get("Result"), dict):
        message = message["Result"]
    known = message if isinstance(message, dict) else {}
    originator_id = known.get("OriginatorConversationID")
    conversation_id = known.get("ConversationID")
    return QueueTimeout(
        originator_id if is_identifier(originator_id) else "",
        conversation_id if is_identifier(conversation_id) else "",
    )


def _read_parameters(holder: Any) -> dict[str, str]:
    listed = holder.get("ResultParameter") if isinstance(holder, dict) else holder
    known: dict[str, str] = {}
    for name, value in read_pairs(listed, name="Key", value="Value").items():
        bare, text = clean(name.replace(" ", "")), _text_of_value(value)
        known[bare] = text if known.get(bare, text) == text else ""
    return known


def _text_of_value(value: Any) -> str:
    if isinstance(value, Decimal):
        is_written_out = abs(value.adjusted()) <= _LARGEST_EXPONENT
        return f"{value:f}" if is_written_out else ""  # 1e999999999 is a gigabyte
    return clean(text_of(value), _LONGEST_VALUE)


def _read_id(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    if value is None or value == "":
        return ""
    if not is_identifier(value):
        raise UnreadableMessage(f"{name} is malformed")
    return value


def _find_receipt(result: dict[str, Any], parameters: Mapping[str, str]) -> str | None:
    """The one receipt that the message names; none where it names two."""
    named = {
        _real_receipt(result.get("TransactionID")),
        _real_receipt(parameters.get("TransactionReceipt")),
    } - {None}
    return named.pop() if len(named) == 1 else None


def _real_receipt(value: Any) -> str | None:
    receipt = read_receipt(value)
    return None if receipt is None or _PLACEHOLDER.fullmatch(receipt) else receipt


def _first(known: Mapping[str, str], *names: str) -> str:
    """The first of some names that has a value: not every API uses the same."""
    return next((known[name] for name in names if known.get(name)), "")


def _read_result_moment(text: str) -> datetime | None:
    """``20211114132711`` or, from B2C, ``06.07.2024 22:48:52``: Nairobi's time."""
    return read_moment(text) or parse_moment(text, "%d.%m.%Y %H:%M:%S")


def _read_account(account: str) -> tuple[str, int | None]:
    """``Charges Paid Account|KES|-220.00|…`` → ``charges_paid``, -22000."""
    fields = [field.strip() for field in account.split("|")]
    name = fields[0].lower().removesuffix("account").strip().replace(" ", "_")
    if len(fields) < _FIELDS_READ or not name or fields[1].upper() != _KES:
        return name, None
    return name, read_balance_cents(fields[2])
