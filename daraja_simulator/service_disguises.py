"""What is done to a result so that it does not look as the manual says."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from daraja_simulator.service_outcomes import ResultDisguise
from daraja_simulator.wire import make_conversation_id, make_request_id

_OTHER_KEYS = {
    "FinalisedTime": "FinalizedTime",
    "ConversationID": "Conversation ID",
    "OriginatorConversationID": "Originator Conversation ID",
    "TransCompletedTime": "TransactionCompletedTime",
}


def _listed(result: dict[str, Any]) -> Sequence[dict[str, Any]]:
    parameters = result.get("ResultParameters", {}).get("ResultParameter", [])
    return parameters if isinstance(parameters, list) else [parameters]


def _swap_types(result: dict[str, Any], _dice: Random, _now: datetime) -> None:
    for one in _listed(result):
        value = one.get("Value")
        if isinstance(value, str) and value.isdigit():
            one["Value"] = int(value)
        elif isinstance(value, int):
            one["Value"] = str(value)
        elif isinstance(value, Decimal):
            one["Value"] = f"{value:f}"


def _swap_keys(result: dict[str, Any], _dice: Random, _now: datetime) -> None:
    for one in _listed(result):
        one["Key"] = _OTHER_KEYS.get(one["Key"], one["Key"])


def _keep_one(result: dict[str, Any], _dice: Random, _now: datetime) -> None:
    listed = _listed(result)
    if listed:
        result["ResultParameters"] = {"ResultParameter": listed[0]}


def _name_another(result: dict[str, Any], dice: Random, now: datetime) -> None:
    result["OriginatorConversationID"] = make_request_id(dice)
    result["ConversationID"] = make_conversation_id(dice, now)


_DISGUISES: dict[ResultDisguise, Callable[[dict[str, Any], Random, datetime], None]] = {
    ResultDisguise.OTHER_TYPES: _swap_types,
    ResultDisguise.OTHER_KEYS: _swap_keys,
    ResultDisguise.OBJECT_PARAMETER: _keep_one,
    ResultDisguise.OF_ANOTHER: _name_another,
}


def put_on(disguise: ResultDisguise, result: dict[str, Any], dice: Random, now: datetime) -> None:
    """Change the result in place; some disguises are put on by who prints it."""
    if disguise in _DISGUISES:
        _DISGUISES[disguise](result, dice, now)
