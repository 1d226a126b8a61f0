"""What the forms of buying send."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.schemas.base import Phone, PlainText, QueryId, QueryInteger, Schema
from app.schemas.claim import MpesaMessageField
from app.services.basket import CheckOut
from app.services.place_order import MAX_UNITS_OF_A_PRODUCT, WantedLine

_MOST = MAX_UNITS_OF_A_PRODUCT


class AddForm(Schema):
    """A product, and how many of it more."""

    product_id = QueryId(required=True)
    quantity = QueryInteger(
        load_default=1, validate=validate.Range(1, _MOST, error=f"Must be from 1 to {_MOST}.")
    )

    @ma.post_load
    def _line(self, data: dict[str, Any], **_kwargs: Any) -> WantedLine:
        return WantedLine(**data)


class ChangeForm(AddForm):
    """A product, and how many of it there shall be; 0 takes it out."""

    quantity = QueryInteger(
        required=True,
        validate=validate.Range(0, _MOST, error=f"Must be from 0 to {_MOST}."),
        error_messages={"required": "Say how many."},
    )


class CheckoutForm(Schema):
    """Which basket is ordered, at which total in cents, and where it goes to."""

    version = QueryInteger(required=True)
    total_cents = QueryInteger(required=True)
    phone_number = Phone(required=True, error_messages={"required": "Say which phone is to pay."})
    delivery_address = PlainText(max=500, multiline=True)
    note = PlainText(max=1000, multiline=True)

    @ma.post_load
    def _check_out(self, data: dict[str, Any], **_kwargs: Any) -> CheckOut:
        return CheckOut(**data)


class PhoneForm(Schema):
    """The phone that is to be asked."""

    phone_number = Phone(required=True, error_messages={"required": "Say which phone is to pay."})

    @ma.post_load
    def _number(self, data: dict[str, Any], **_kwargs: Any) -> str:
        return str(data["phone_number"])


class PaidForm(Schema):
    """A payment that was made: the code of M-Pesa's message, or all of the message."""

    mpesa_receipt = MpesaMessageField(
        required=True, error_messages={"required": "Paste M-Pesa's message, or type its code."}
    )

    @ma.post_load
    def _receipt(self, data: dict[str, Any], **_kwargs: Any) -> str:
        return str(data["mpesa_receipt"])
