"""The body of a callback, as the manual prints it and in every disguise it may wear."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

from daraja_simulator.outcomes import Disguise
from daraja_simulator.prompts import Prompt
from daraja_simulator.results import SUCCESS
from daraja_simulator.wire import (
    make_checkout_id,
    make_receipt,
    make_request_id,
    print_json,
    print_moment,
)

Callback = dict[str, Any]


def build_callback(prompt: Prompt, dice: Random, now: datetime) -> bytes:
    """Print the callback of a prompt that has ended, disguised as its plan says."""
    disguise = prompt.plan.callback.disguise
    result = prompt.result
    if result is None:
        raise ValueError("A prompt that still waits has no callback.")
    receipt = prompt.receipt
    if disguise is Disguise.FORGED_SUCCESS and not result.is_success:
        result, receipt = SUCCESS, make_receipt(dice, now)
    callback: Callback = {
        "MerchantRequestID": prompt.merchant_request_id,
        "CheckoutRequestID": prompt.checkout_request_id,
        "ResultCode": result.printed_code,
        "ResultDesc": result.callback_text,
    }
    if result.is_success:
        items = _metadata(prompt, receipt or "", now)
        callback["CallbackMetadata"] = {"Item": items}
    if disguise in _DISGUISES:
        _DISGUISES[disguise](callback, dice)
    text = print_json({"Body": {"stkCallback": callback}})
    if disguise is Disguise.MALFORMED:
        text = text[: len(text) * 2 // 3]
    return text.encode()


def _metadata(prompt: Prompt, receipt: str, now: datetime) -> list[dict[str, Any]]:
    return [
        {"Name": "Amount", "Value": Decimal(prompt.push.amount).quantize(Decimal("0.01"))},
        {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "TransactionDate", "Value": int(print_moment(now))},
        {"Name": "PhoneNumber", "Value": int(prompt.push.phone)},
    ]


def _items(callback: Callback) -> list[dict[str, Any]]:
    """The metadata; a failure has none, and whatever is done to this list is then lost."""
    items: list[dict[str, Any]] = callback.get("CallbackMetadata", {}).get("Item", [])
    return items


def _change(callback: Callback, name: str, change: Callable[[Any], Any]) -> None:
    for item in _items(callback):
        if item["Name"] == name:
            item["Value"] = change(item["Value"])


def _add_balance(callback: Callback, **value: object) -> None:
    _items(callback).insert(2, {"Name": "Balance", **value})


def _string_result_code(callback: Callback, _dice: Random) -> None:
    callback["ResultCode"] = str(callback["ResultCode"])


def _balance_without_value(callback: Callback, _dice: Random) -> None:
    _add_balance(callback)


def _balance_with_value(callback: Callback, dice: Random) -> None:
    _add_balance(callback, Value=Decimal(dice.randint(0, 9_999_999)) / 100)


def _balance_as_text(callback: Callback, _dice: Random) -> None:
    text = "{Amount={CurrencyCode=KES, MinimumAmount=618683, BasicAmount=6186.83}}"
    _add_balance(callback, Value=text)


def _shuffle(callback: Callback, dice: Random) -> None:
    items = _items(callback)
    if items:  # a plain shuffle may leave the order as it was
        items.append(items.pop(0))
        items[:-1] = dice.sample(items[:-1], k=len(items) - 1)


def _mask_phone(callback: Callback, _dice: Random) -> None:
    def mask(value: int) -> str:
        text = str(value)
        return f"{text[:3]}******{text[-3:]}"

    _change(callback, "PhoneNumber", mask)


def _whole_amount(callback: Callback, _dice: Random) -> None:
    _change(callback, "Amount", int)


def _wrong_amount(callback: Callback, _dice: Random) -> None:
    _change(callback, "Amount", lambda value: value + 1)


def _wrong_merchant_request_id(callback: Callback, dice: Random) -> None:
    callback["MerchantRequestID"] = make_request_id(dice)


def _wrong_checkout_request_id(callback: Callback, dice: Random) -> None:
    moment = datetime(2020, 1, 1)  # noqa: DTZ001 - any day long gone makes an id of nobody
    callback["CheckoutRequestID"] = make_checkout_id(dice, moment, "254700000000")


_DISGUISES: dict[Disguise, Callable[[Callback, Random], None]] = {
    Disguise.STRING_RESULT_CODE: _string_result_code,
    Disguise.BALANCE_WITHOUT_VALUE: _balance_without_value,
    Disguise.BALANCE_WITH_VALUE: _balance_with_value,
    Disguise.BALANCE_AS_TEXT: _balance_as_text,
    Disguise.SHUFFLED: _shuffle,
    Disguise.MASKED_PHONE: _mask_phone,
    Disguise.WHOLE_AMOUNT: _whole_amount,
    Disguise.WRONG_AMOUNT: _wrong_amount,
    Disguise.WRONG_MERCHANT_REQUEST_ID: _wrong_merchant_request_id,
    Disguise.WRONG_CHECKOUT_REQUEST_ID: _wrong_checkout_request_id,
}
