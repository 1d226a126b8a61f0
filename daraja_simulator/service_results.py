"""The bodies of results and of queue timeouts, as the manual prints them and in every disguise."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from daraja_simulator.apis import Api
from daraja_simulator.core import Core
from daraja_simulator.ledger import Balance, Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.money import CENTS
from daraja_simulator.operations import Done, Found, name_of_party
from daraja_simulator.results import SUCCESS
from daraja_simulator.service_disguises import put_on
from daraja_simulator.service_outcomes import ResultDisguise
from daraja_simulator.services import Service
from daraja_simulator.wire import (
    make_receipt,
    make_request_id,
    print_json,
    print_moment,
    print_no_receipt,
)

Parameters = list[dict[str, Any]]

_INTERNAL = "https://internalsandbox.safaricom.co.ke/mpesa/{}/v1/submit"
_RESULT_PATHS = {
    Api.B2C: "b2cresults",
    Api.REVERSAL: "reversalresults",
    Api.BALANCE: "abresults",
    Api.B2B: "b2bresults",
}
_PAYING = frozenset({Api.B2C, Api.REVERSAL, Api.B2B})
# These print codes as text, the others as numbers.
_TEXTUAL = frozenset({Api.BALANCE, Api.B2B})

_REASONS = {
    Kind.EXPRESS: "Pay Bill Online",
    Kind.C2B: "Pay Utility",
    Kind.B2C: "Business Payment to Customer via API",
    Kind.B2B: "Business Pay Bill via API",
    Kind.REVERSAL: "Organization Reversal via API",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a body is printed from."""

    core: Core
    service: Service
    done: Done
    now: datetime

    @property
    def merchant(self) -> Merchant | None:
        return self.core.config.find_receiver(self.service.ask.shortcode)

    @property
    def balance(self) -> Balance:
        shortcode = self.merchant.shortcode if self.merchant else self.service.ask.shortcode
        return self.core.ledger.balance_of(shortcode)


def build_result(core: Core, service: Service, done: Done, dice: Random) -> bytes:
    """Print the result of a request that has ended, disguised as its plan says."""
    now, disguise = core.clock.now(), service.plan.posting.disguise
    can_forge = service.ask.api in _PAYING and not done.result.is_success
    if disguise is ResultDisguise.FORGED_SUCCESS and can_forge:
        done = Done(SUCCESS, _forge(core, service, now, dice))
    scene = Scene(core, service, done, now)
    is_textual = service.ask.api in _TEXTUAL
    if disguise is ResultDisguise.OTHER_TYPES:
        is_textual = not is_textual
    code = done.result.code if is_textual else done.result.printed_code
    result: dict[str, Any] = {
        "ResultType": "0" if is_textual else 0,
        "ResultCode": code,
        "ResultDesc": done.result.callback_text,
        "OriginatorConversationID": service.originator_id,
        "ConversationID": service.conversation_id,
        "TransactionID": done.movement.receipt if done.movement else print_no_receipt(now),
    }
    parameters = _parameters(scene)
    if parameters is not None:
        result["ResultParameters"] = {"ResultParameter": parameters}
    result["ReferenceData"] = {"ReferenceItem": _reference(scene)}
    put_on(disguise, result, dice, now)
    text = print_json({"Result": result})
    if disguise is ResultDisguise.MALFORMED:
        text = text[: len(text) * 2 // 3]
    return text.encode()


def build_timeout(service: Service, dice: Random) -> bytes:
    """Nobody has published what it looks like; it names the request, and no result code."""
    return print_json(
        {
            "requestId": make_request_id(dice),
            "errorCode": "QueueTimeout",
            "errorMessage": "The request has timed out in the queue.",
            "OriginatorConversationID": service.originator_id,
            "ConversationID": service.conversation_id,
        }
    ).encode()


# --- parameters ---


def _parameters(scene: Scene) -> Parameters | dict[str, Any] | None:
    """A list; for some failures one object, for most none at all."""
    if scene.done.result.is_success:
        return _PRINTERS[scene.service.ask.api](scene)
    now = int(print_moment(scene.now))
    match scene.service.ask.api:
        case Api.B2B:
            return _one("BOCompletedTime", now)
        case Api.BALANCE:
            text = scene.done.result.callback_text
            return _many(ActionType="AccountBalance", ErrorMsg=f"{text} ", BOCompletedTime=now)
        case _:
            return None


def _print_payout(scene: Scene) -> Parameters:
    movement, balance = _moved(scene), scene.balance
    return _many(
        TransactionAmount=movement.amount,
        TransactionReceipt=movement.receipt,
        ReceiverPartyPublicName=_party(movement.party, movement.party_name),
        TransactionCompletedDateTime=f"{movement.moved_at:%d.%m.%Y %H:%M:%S}",
        B2CUtilityAccountAvailableFunds=_exact(balance.utility_cents),
        B2CWorkingAccountAvailableFunds=_exact(0),
        B2CRecipientIsRegisteredCustomer="Y",
        B2CChargesPaidAccountAvailableFunds=_exact(-balance.charge_cents),
    )


def _print_reversal(scene: Scene) -> Parameters:
    movement = _moved(scene)
    return _many(
        DebitAccountBalance=_account("Utility Account", scene.balance.utility_cents),
        Amount=_exact(-movement.cents),
        TransCompletedTime=int(print_moment(movement.moved_at)),
        OriginalTransactionID=movement.linked,
        Charge=_exact(0),
        CreditPartyPublicName=_party(movement.party, movement.party_name),
        DebitPartyPublicName=_merchant_name(scene),
    )


def _print_transfer(scene: Scene) -> Parameters:
    movement, cents = _moved(scene), scene.balance.utility_cents
    held = f"{{Amount={{CurrencyCode=KES, MinimumAmount={cents}, BasicAmount={_exact(cents):f}}}}}"
    return _many(
        DebitAccountBalance=held,
        Amount=f"{_exact(-movement.cents):f}",
        DebitPartyAffectedAccountBalance=_account("Utility Account", cents),
        TransCompletedTime=print_moment(movement.moved_at),
        DebitPartyCharges="",
        ReceiverPartyPublicName=_party(movement.party, movement.party_name),
        Currency="KES",
        InitiatorAccountCurrentBalance=held,
    )


def _print_balance(scene: Scene) -> Parameters:
    balance = scene.balance
    accounts = (
        ("Working Account", 0),
        ("Float Account", 0),
        ("Utility Account", balance.utility_cents),
        ("Charges Paid Account", -balance.charge_cents),
        ("Organization Settlement Account", 0),
    )
    return _many(
        AccountBalance="&".join(_account(name, cents) for name, cents in accounts),
        BOCompletedTime=int(print_moment(scene.now)),
    )


def _print_status(scene: Scene) -> Parameters:
    found = scene.done.found
    if found is None:
        raise ValueError("A status that succeeded has found something.")
    return _print_found(scene, found)


def _print_found(scene: Scene, found: Found) -> Parameters:
    """Every value is text; the reason has none."""
    facts = _facts_of_movement(scene, found.movement) if found.movement else _facts_of(scene, found)
    printed = _many(
        DebitPartyName=facts["debit"],
        CreditPartyName=facts["credit"],
        OriginatorConversationID=facts["originator"],
        InitiatedTime=facts["initiated"],
        DebitAccountType=facts["account"],
        DebitPartyCharges=facts["charges"],
        TransactionReason=None,
        ReasonType=facts["reason"],
        TransactionStatus=facts["status"],
        FinalisedTime=facts["finalised"],
        Amount=facts["amount"],
        ConversationID=facts["conversation"],
        ReceiptNo=facts["receipt"],
    )
    return [one if one.get("Value") is not None else {"Key": one["Key"]} for one in printed]


def _facts_of_movement(scene: Scene, movement: Movement) -> dict[str, str | None]:
    party = _party(movement.party, movement.party_name)
    is_in = movement.cents > 0
    reversal = scene.core.ledger.reversal_of(movement.receipt)
    return {
        "debit": party if is_in else _merchant_name(scene),
        "credit": _merchant_name(scene) if is_in else party,
        "originator": movement.originator_conversation_id or movement.merchant_request_id,
        "initiated": print_moment(movement.initiated_at),
        "account": "MMF Account For Customer" if is_in else "Utility Account",
        "charges": _charges(scene, movement),
        "reason": _REASONS[movement.kind],
        "status": "Reversed" if reversal else "Completed",
        "finalised": print_moment(movement.moved_at),
        "amount": f"{_exact(abs(movement.cents)):f}",
        "conversation": movement.conversation_id,
        "receipt": movement.receipt,
    }


def _charges(scene: Scene, movement: Movement) -> str:
    cents = scene.core.config.payout_charge * CENTS
    return (
        f"Fee For B2C Payment|KES|{_exact(cents):f}" if movement.kind is Kind.B2C and cents else ""
    )


def _facts_of(scene: Scene, found: Found) -> dict[str, str | None]:
    """Of a payout that failed: it has no receipt."""
    failed = found.failed
    if failed is None or failed.ended_at is None:
        raise ValueError("What was found either moved money or has failed.")
    ask = failed.ask
    return {
        "debit": _merchant_name(scene),
        "credit": _party(ask.receiver, name_of_party(scene.core, ask.receiver)),
        "originator": failed.originator_id,
        "initiated": print_moment(failed.created_at),
        "account": "Utility Account",
        "charges": "",
        "reason": _REASONS[Kind.B2C],
        "status": "Failed",
        "finalised": print_moment(failed.ended_at),
        "amount": f"{_exact(ask.amount_cents):f}",
        "conversation": failed.conversation_id,
        "receipt": None,
    }


_PRINTERS: dict[Api, Callable[[Scene], Parameters]] = {
    Api.B2C: _print_payout,
    Api.REVERSAL: _print_reversal,
    Api.B2B: _print_transfer,
    Api.BALANCE: _print_balance,
    Api.STATUS: _print_status,
}


def _reference(scene: Scene) -> dict[str, Any] | Parameters:
    ask = scene.service.ask
    if ask.api is Api.STATUS:
        return _one("Occasion", ask.occasion or None)
    address = _INTERNAL.format(_RESULT_PATHS[ask.api])
    if ask.api is Api.B2B:
        occasion = _one("Occassion", ask.occasion or None)
        bill = [_one("BillReferenceNumber", ask.account)] if ask.account else []
        return [*bill, _one("QueueTimeoutURL", address), occasion]
    is_valueless = ask.api is Api.BALANCE and not scene.done.result.is_success
    return _one("QueueTimeoutURL", None if is_valueless else address)


# --- pieces ---


def _one(key: str, value: object) -> dict[str, Any]:
    """An entry that has no value lacks even its name."""
    return {"Key": key} if value is None else {"Key": key, "Value": value}


def _many(**values: object) -> Parameters:
    return [_one(key, value) for key, value in values.items()]


def _moved(scene: Scene) -> Movement:
    if scene.done.movement is None:
        raise ValueError("A payout that succeeded has moved money.")
    return scene.done.movement


def _merchant_name(scene: Scene) -> str:
    merchant = scene.merchant
    return _party(merchant.receiver, merchant.name) if merchant else ""


def _party(number: str, name: str) -> str:
    return f"{number} - {name}"


def _exact(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def _account(name: str, cents: int) -> str:
    return f"{name}|KES|{_exact(cents):f}|{_exact(cents):f}|0.00|0.00"


def _forge(core: Core, service: Service, now: datetime, dice: Random) -> Movement:
    """A movement that nobody booked."""
    ask = service.ask
    original = core.ledger.find(ask.receipt)
    party = original.party if original else ask.receiver
    return Movement(
        kind=Kind.REVERSAL if ask.api is Api.REVERSAL else Kind.B2C,
        receipt=make_receipt(dice, now),
        shortcode=ask.shortcode,
        cents=-ask.amount_cents,
        party=party,
        party_name=name_of_party(core, party),
        initiated_at=service.created_at,
        moved_at=now,
        linked=ask.receipt or None,
    )
