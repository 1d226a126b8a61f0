"""Refunds on the wire."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import RefundKind, RefundState
from app.schemas.base import (
    ListQuery,
    Money,
    PlainText,
    QueryId,
    Schema,
    StrictBoolean,
    Timestamp,
    take_page,
)
from app.services.refunds import RefundFilter, RefundRequest

LONGEST_REASON = 300
LONGEST_RECEIPT = 20
_STATES = [state.value for state in RefundState]
_KINDS = [kind.value for kind in RefundKind]
_REASON = {"example": "The shoes were too small"}


class RefundAskSchema(Schema):
    amount = Money(
        minimum_cents=1,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "How much goes back; else all that is left of the payment.",
            "type": "number",
        },
    )
    reason = PlainText(min=1, max=LONGEST_REASON, required=True, metadata=_REASON)
    method = ma.fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(_KINDS, error=f"Must be one of {', '.join(_KINDS)}."),
        metadata={
            "description": "`reversal` gives a whole payment back, `payout` sends any whole"
            " shillings to the phone that paid, `by_hand` is done by a person in M-Pesa's portal."
            " Else the first of these that is set up and can do it."
        },
    )
    restock = StrictBoolean(
        load_default=False,
        metadata={"description": "Whether the goods go back on the shelf; for a whole order."},
    )

    @ma.post_load
    def _request(self, data: dict[str, Any], **_kwargs: Any) -> RefundRequest:
        method = data["method"]
        return RefundRequest(
            reason=data["reason"],
            amount_cents=data["amount"],
            method=RefundKind(method) if method else None,
            restock=data["restock"],
        )


class ReasonSchema(Schema):
    reason = PlainText(min=1, max=LONGEST_REASON, required=True, metadata=_REASON)


class RefundReceiptSchema(Schema):
    refund_receipt = PlainText(
        min=1,
        max=LONGEST_RECEIPT,
        required=True,
        metadata={
            "example": "UKM1A2B3C4",
            "description": "M-Pesa's receipt of the refund; not that of the payment.",
        },
    )


class RefundQuery(ListQuery):
    status = ma.fields.String(
        load_default=None,
        validate=validate.OneOf(_STATES, error=f"Must be one of {', '.join(_STATES)}."),
    )
    order_id = QueryId(load_default=None)
    transaction_id = QueryId(load_default=None)
    mpesa_receipt = PlainText(max=LONGEST_RECEIPT, load_default=None)
    created_after = Timestamp(load_default=None)
    created_before = Timestamp(load_default=None)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        status, receipt = data.pop("status"), data.pop("mpesa_receipt")
        wanted = RefundFilter(
            status=RefundState(status) if status else None,
            mpesa_receipt=receipt.upper() if receipt else None,
            **data,
        )
        return {"wanted": wanted, "page": page}


class RefundSchema(Schema):
    """Money that goes back to a customer, or went."""

    id = ma.fields.Integer()
    transaction_id = ma.fields.Integer(
        attribute="payment_id",
        allow_none=True,
        metadata={"description": "Null for money that came without an order."},
    )
    order_id = ma.fields.Integer(allow_none=True)
    amount = Money(attribute="amount_cents")
    status = ma.fields.String(
        attribute="state",
        validate=validate.OneOf(_STATES),
        metadata={
            "description": "`awaiting_approval` waits for another admin; `pending` for M-Pesa;"
            " `unknown`: nobody knows yet whether it went, and it is not sent again."
        },
    )
    kind = ma.fields.String(validate=validate.OneOf(_KINDS))
    reason = ma.fields.String()
    restock = ma.fields.Boolean()
    requested_by = ma.fields.Integer()
    approved_by = ma.fields.Integer(allow_none=True)
    mpesa_receipt = ma.fields.String(
        attribute="receipt", metadata={"description": "The receipt of the payment."}
    )
    refund_receipt = ma.fields.String(
        allow_none=True, metadata={"description": "M-Pesa's receipt of the refund, once known."}
    )
    result_code = ma.fields.String(allow_none=True)
    result_desc = ma.fields.String(allow_none=True)
    created_at = Timestamp()
    finished_at = Timestamp(allow_none=True)
