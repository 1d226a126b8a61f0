from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import PaymentKind, PaymentState
from app.schemas.base import (
    ListQuery,
    Money,
    Phone,
    PlainText,
    PositiveId,
    QueryId,
    QueryInteger,
    Schema,
    Timestamp,
    take_page,
)
from app.services.read_payments import PaymentFilter
from app.services.request_payment import PaymentRequest

LONGEST_WAIT_SECONDS = 25
_STATES = [state.value for state in PaymentState]


class StkPushSchema(Schema):
    order_id = PositiveId(required=True, metadata={"example": 1})
    phone_number = Phone(
        load_default=None,
        allow_none=True,
        metadata={
            "example": "0712345678",
            "description": "The phone that is to pay; else the order's, else your profile's.",
        },
    )

    @ma.post_load
    def _request(self, data: dict[str, Any], **_kwargs: Any) -> PaymentRequest:
        return PaymentRequest(order_id=data["order_id"], msisdn=data["phone_number"])


class TransactionQuery(ListQuery):
    status = ma.fields.String(
        load_default=None,
        validate=validate.OneOf(_STATES, error=f"Must be one of {', '.join(_STATES)}."),
    )
    order_id = QueryId(load_default=None)
    mpesa_receipt = PlainText(max=20, load_default=None)
    phone_number = Phone(load_default=None)
    created_after = Timestamp(load_default=None)
    created_before = Timestamp(load_default=None)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        status, receipt = data.pop("status"), data.pop("mpesa_receipt")
        wanted = PaymentFilter(
            status=PaymentState(status) if status else None,
            mpesa_receipt=receipt.upper() if receipt else None,
            **data,
        )
        return {"wanted": wanted, "page": page}


class WaitQuery(Schema):
    wait = QueryInteger(
        load_default=0,
        validate=validate.Range(
            0, LONGEST_WAIT_SECONDS, error=f"Must be from 0 to {LONGEST_WAIT_SECONDS}."
        ),
        metadata={"description": "Seconds to wait for the transaction to become final."},
    )


class CallbackAnswerSchema(Schema):
    """What Safaricom is answered once its report is stored."""

    ResultCode = ma.fields.Integer(metadata={"example": 0})
    ResultDesc = ma.fields.String(metadata={"example": "Accepted"})


class ValidationAnswerSchema(Schema):
    """What Safaricom is answered when it asks whether a payment is welcome."""

    ResultCode = ma.fields.String(metadata={"example": "0"})
    ResultDesc = ma.fields.String(metadata={"example": "Accepted"})


class TransactionSchema(Schema):
    """One attempt to be paid, as its owner and an admin see it: of a PaymentView."""

    id = ma.fields.Integer(attribute="payment.id")
    order_id = ma.fields.Integer(attribute="payment.order_id")
    amount = Money(attribute="payment.amount_cents")
    phone_number = ma.fields.String(
        attribute="payment.msisdn",
        allow_none=True,
        metadata={"description": "Null where M-Pesa did not show the payer's number whole."},
    )
    mpesa_receipt = ma.fields.String(attribute="payment.mpesa_receipt", allow_none=True)
    status = ma.fields.String(attribute="payment.status", validate=validate.OneOf(_STATES))
    timestamp = Timestamp(attribute="payment.created_at")
    updated_at = Timestamp(attribute="payment.updated_at")
    checkout_request_id = ma.fields.String(attribute="payment.checkout_request_id", allow_none=True)
    merchant_request_id = ma.fields.String(attribute="payment.merchant_request_id", allow_none=True)
    result_code = ma.fields.String(attribute="payment.result_code", allow_none=True)
    result_desc = ma.fields.String(attribute="payment.result_desc", allow_none=True)
    customer_message = ma.fields.String(attribute="payment.customer_message", allow_none=True)
    kind = ma.fields.String(
        attribute="payment.kind", validate=validate.OneOf([kind.value for kind in PaymentKind])
    )
    refunded_amount = Money(
        attribute="refunded_cents", metadata={"description": "How much of it has gone back."}
    )
