"""What a buyer says to have paid, and what became of it."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import ClaimState
from app.schemas.base import ListQuery, PlainText, Schema, Timestamp, take_page
from app.services.pages import PageRequest

_STATES = [state.value for state in ClaimState]
_RECEIPT = re.compile(r"[A-Z0-9]{8,20}")
_CODE = re.compile(r"[A-Z0-9]{10}")
_MIXED = re.compile(r"(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{10}")
_LONGEST_MESSAGE = 600


class MpesaReceiptField(PlainText):
    """A receipt as people type it, spaces and small letters and all; capitals inside."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "receipt": "Write the code from M-Pesa's message: letters and digits, like UKM4X7Q2ZP."
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        receipt = self.find(text)
        if _RECEIPT.fullmatch(receipt) is None:
            raise self.make_error("receipt", input=value)
        return receipt

    def find(self, text: str) -> str:
        return "".join(text.split()).upper()


class MpesaMessageField(MpesaReceiptField):
    """The receipt, or the whole message of M-Pesa, which begins with it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max=_LONGEST_MESSAGE, multiline=True, **kwargs)

    def find(self, text: str) -> str:
        """The first word if it can be a code, else the first that is mixed as codes mostly are."""
        words: list[str] = re.findall(r"[A-Z0-9]+", text.upper())
        if words and _CODE.fullmatch(words[0]):
            return words[0]
        mixed = [word for word in words if _MIXED.fullmatch(word)]
        if mixed:
            return mixed[0]
        return "".join(words) if len(words) == 1 or _CODE.fullmatch("".join(words)) else ""


class ClaimRequestSchema(Schema):
    mpesa_receipt = MpesaReceiptField(
        required=True,
        max=40,
        metadata={
            "example": "UKM4X7Q2ZP",
            "description": "The code that M-Pesa's message begins with.",
        },
    )

    @ma.post_load
    def _receipt(self, data: dict[str, Any], **_kwargs: Any) -> str:
        return str(data["mpesa_receipt"])


class ClaimQuery(ListQuery):
    @ma.post_load
    def _page(self, data: dict[str, Any], **_kwargs: Any) -> PageRequest:
        return take_page(data)


class ClaimSchema(Schema):
    """A claim as its buyer and an admin see it; ``message`` is for the buyer."""

    id = ma.fields.Integer()
    order_id = ma.fields.Integer()
    mpesa_receipt = ma.fields.String(attribute="receipt", metadata={"example": "UKM4X7Q2ZP"})
    state = ma.fields.String(validate=validate.OneOf(_STATES))
    message = ma.fields.String(allow_none=True)
    created_at = Timestamp()
    updated_at = Timestamp()
