"""What only a person can decide about money, on the wire."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models import (
    MONEY_TASKS,
    ClaimState,
    OrderStatus,
    ReceiptState,
    RefundKind,
    RefundState,
    TaskPriority,
    TaskStatus,
)
from app.schemas.base import (
    ListQuery,
    Money,
    PlainText,
    QueryBoolean,
    QueryId,
    Schema,
    Timestamp,
    take_page,
)
from app.schemas.order import OrderSchema
from app.schemas.payment import TransactionSchema
from app.services.exceptions import (
    Action,
    Attachment,
    Effect,
    PaidWord,
    QueueFilter,
    QueueOrder,
)
from app.services.find_account import Clue
from app.utils.money import CURRENCY
from app.utils.payer import mask_payer_name, mask_payer_phone

LONGEST_REASON = 300
_LONGEST_NUMBER = 20
_RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
_WHEN = {"format": "date-time", "type": "string"}


def _among(values: type[StrEnum] | tuple[StrEnum, ...], **options: Any) -> ma.fields.String:
    words = [value.value for value in values]
    among = validate.OneOf(words, error=f"Must be one of {', '.join(words)}.")
    return ma.fields.String(validate=among, **options)


class Receipt(PlainText):
    """An M-Pesa receipt as people type it; capitals and digits inside."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "receipt": "This is no M-Pesa receipt. Write it as M-Pesa showed it, letters and digits"
        " alone."
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        bare = "".join(text.split()).upper()
        if not _RECEIPT.fullmatch(bare):
            raise self.make_error("receipt", input=value)
        return bare


class Masked(ma.fields.String):
    """Text that is answered as ``show`` makes it."""

    def __init__(self, show: Callable[[Any], str | None], **options: Any) -> None:
        super().__init__(**options)
        self.show = show

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return super()._serialize(self.show(value), attr, obj, **kwargs)


def _readable(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")


def reason_field(**options: Any) -> PlainText:
    return PlainText(
        max=LONGEST_REASON,
        multiline=True,
        metadata={"description": "Why; it is kept for good.", "example": "It is on the statement."},
        **options,
    )


class DecisionReasonSchema(Schema):
    """Why it was decided so."""

    reason = reason_field(min=3, required=True)


class NoteSchema(Schema):
    """What was found out so far."""

    note = PlainText(
        min=1, max=LONGEST_REASON, multiline=True, required=True, metadata={"example": "I called."}
    )


class AttachSchema(Schema):
    """Which order the money is for."""

    order_number = PlainText(
        min=1, max=_LONGEST_NUMBER, required=True, metadata={"example": "K7M2Q9X"}
    )
    expected = _among(
        Effect,
        load_default=None,
        allow_none=True,
        metadata={"description": "What you were told that it would do; another effect is a 409."},
    )
    reason = reason_field(load_default=None, allow_none=True)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> Attachment:
        expected = data.pop("expected")
        return Attachment(**data, expected=Effect(expected) if expected else None)


class ReceiptGivenSchema(DecisionReasonSchema):
    """The receipt of a payment that is known to be paid."""

    mpesa_receipt = Receipt(max=_LONGEST_NUMBER, required=True, metadata={"example": "UKL7A1B2C3"})

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> PaidWord:
        return PaidWord(data["mpesa_receipt"], data["reason"], data.get("amount"))


class PaidSchema(ReceiptGivenSchema):
    """What M-Pesa's statement shows of a payment."""

    amount = Money(
        minimum_cents=1,
        load_default=None,
        allow_none=True,
        metadata={"description": "Left out: what was reported of the receipt, or asked for."},
    )


class CorrectSchema(DecisionReasonSchema):
    """The amount in M-Pesa's books."""

    amount = Money(minimum_cents=1, required=True, metadata={"example": 1000})


class AttachQuery(Schema):
    order_number = PlainText(
        min=1, max=_LONGEST_NUMBER, required=True, metadata={"example": "K7M2Q9X"}
    )


class ExceptionQuery(ListQuery):
    kind = _among(MONEY_TASKS, load_default=None)
    is_open = QueryBoolean(
        data_key="open",
        load_default=True,
        metadata={"description": "false: those that are decided."},
    )
    assignee_id = QueryId(load_default=None)
    unassigned = QueryBoolean(load_default=False)
    filed_before = Timestamp(load_default=None, metadata=_WHEN)
    sort = _among(QueueOrder, load_default=QueueOrder.OLDEST.value)

    @ma.post_load
    def _query(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        page = take_page(data)
        data["sort"] = QueueOrder(data["sort"])
        return {"wanted": QueueFilter(**data), "page": page}


class ExceptionSchema(Schema):
    """A matter of money in the queue. `amount` is what it is about, as far as anybody knows."""

    id = ma.fields.Integer(attribute="task.id", metadata={"example": 5})
    kind = _among(MONEY_TASKS, attribute="task.kind")
    title = ma.fields.String(attribute="task.title")
    description = ma.fields.String(attribute="task.description")
    status = _among(TaskStatus, attribute="task.status")
    priority = _among(TaskPriority, attribute="task.priority")
    amount = Money(attribute="amount_cents")
    currency = ma.fields.Constant(CURRENCY)
    order_id = ma.fields.Integer(allow_none=True)
    order_number = ma.fields.String(allow_none=True)
    transaction_id = ma.fields.Integer(attribute="task.payment_id", allow_none=True)
    refund_id = ma.fields.Integer(attribute="task.refund_id", allow_none=True)
    mpesa_receipt = ma.fields.String(attribute="task.receipt", allow_none=True)
    assignee_id = ma.fields.Integer(attribute="task.assignee_id", allow_none=True)
    assignee_name = ma.fields.String(allow_none=True)
    due_at = Timestamp(attribute="task.due_at", allow_none=True, metadata=_WHEN)
    created_at = Timestamp(attribute="task.created_at", metadata=_WHEN)
    updated_at = Timestamp(attribute="task.updated_at", metadata=_WHEN)


class ExceptionCountSchema(Schema):
    count = ma.fields.Integer(metadata={"example": 2})
    amount = Money(attribute="amount_cents")
    oldest_at = Timestamp(allow_none=True, metadata=_WHEN)


class ExceptionCountsSchema(Schema):
    """Of all that wait, whatever the list was asked for."""

    total = ma.fields.Nested(ExceptionCountSchema)
    by_kind = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Nested(ExceptionCountSchema),
        metadata={"example": {"unmatched_money": {"count": 2, "amount": 1500, "oldest_at": None}}},
    )


class ForesightSchema(Schema):
    """What the money would do now: `pays`, `pays_part`, `revives` an expired order, `joins` a
    prompt that was counted without a receipt, or all of it would be `owed_back`. `excess` would be
    owed back, `lacking` still be missing.
    """

    effect = _among(Effect)
    excess = Money(attribute="excess_cents")
    lacking = Money(attribute="lacking_cents")


class AttachmentForesightSchema(ForesightSchema):
    order_id = ma.fields.Integer()
    order_number = ma.fields.String()


class ExceptionSuggestionSchema(ForesightSchema):
    """An order that the money may be for, and why it is suggested."""

    order_id = ma.fields.Integer(attribute="order.order_id")
    order_number = ma.fields.String(attribute="order.number")
    status = _among(OrderStatus)
    clue = _among(Clue, attribute="order.clue")
    effect = _among(Effect, attribute="foresight.effect")
    excess = Money(attribute="foresight.excess_cents")
    lacking = Money(attribute="foresight.lacking_cents")


class ExceptionReceiptSchema(Schema):
    """A receipt on the register; the payer as far as people need to know."""

    mpesa_receipt = ma.fields.String(attribute="receipt")
    amount = Money(attribute="amount_cents")
    state = _among(ReceiptState)
    source = ma.fields.String()
    transaction_id = ma.fields.Integer(attribute="payment_id", allow_none=True)
    account_typed = ma.fields.String(attribute="bill_reference", allow_none=True)
    payer_phone = Masked(mask_payer_phone, allow_none=True)
    payer_name = Masked(mask_payer_name, allow_none=True)
    transacted_at = Timestamp(allow_none=True, metadata=_WHEN)
    created_at = Timestamp(metadata=_WHEN)


class ExceptionStepSchema(Schema):
    from_status = ma.fields.String(allow_none=True)
    to_status = ma.fields.String()
    source = ma.fields.String()
    detail = ma.fields.String(allow_none=True)
    created_at = Timestamp(metadata=_WHEN)


class ExceptionMessageSchema(Schema):
    id = ma.fields.Integer()
    source = ma.fields.String()
    received_at = Timestamp(metadata=_WHEN)
    processed_at = Timestamp(allow_none=True, metadata=_WHEN)
    attempts = ma.fields.Integer()
    outcome = ma.fields.String(allow_none=True)
    error = ma.fields.String(allow_none=True)
    body = Masked(_readable)


class ExceptionRefundSchema(Schema):
    id = ma.fields.Integer()
    kind = _among(RefundKind)
    state = _among(RefundState)
    amount = Money(attribute="amount_cents")
    mpesa_receipt = ma.fields.String(attribute="receipt")
    reason = ma.fields.String()
    created_at = Timestamp(metadata=_WHEN)
    finished_at = Timestamp(allow_none=True, metadata=_WHEN)


class ExceptionLineSchema(Schema):
    """A line of M-Pesa's own books; below zero went out."""

    mpesa_receipt = ma.fields.String(attribute="receipt")
    linked_receipt = ma.fields.String(allow_none=True)
    amount = Money(attribute="amount_cents")
    details = ma.fields.String()
    account_typed = ma.fields.String(attribute="bill_reference", allow_none=True)
    other_party = Masked(mask_payer_name, allow_none=True)
    transacted_at = Timestamp(metadata=_WHEN)


class ExceptionClaimSchema(Schema):
    """A customer says: "I have paid"."""

    id = ma.fields.Integer()
    mpesa_receipt = ma.fields.String(attribute="receipt")
    state = _among(ClaimState)
    created_at = Timestamp(metadata=_WHEN)


class ExceptionOfferSchema(Schema):
    """So much could be sent back of one receipt."""

    transaction_id = ma.fields.Integer(attribute="payment_id", allow_none=True)
    mpesa_receipt = ma.fields.String(attribute="receipt")
    amount = Money(attribute="amount_cents")


class ExceptionDecisionSchema(Schema):
    """What was done, by whom and why; without a name later news did it, and no person."""

    action = ma.fields.String(attribute="decision.action")
    actor_id = ma.fields.Integer(attribute="decision.actor_id", allow_none=True)
    actor_name = ma.fields.String()
    reason = ma.fields.String(attribute="decision.reason", allow_none=True)
    created_at = Timestamp(attribute="decision.created_at", metadata=_WHEN)


class ExceptionLossSchema(Schema):
    """What it would do if the money is not there: undo the sale, and leave a loss."""

    undoes_sale = ma.fields.Boolean()
    loss = Money(attribute="loss_cents")


class ExceptionFileSchema(Schema):
    """A matter of money with all that is known of it; `actions` are those that apply now, each
    under its own address.
    """

    matter = ma.fields.Nested(ExceptionSchema, attribute="queued")
    actions = ma.fields.List(_among(Action))
    order = ma.fields.Nested(OrderSchema, allow_none=True)
    transaction = ma.fields.Nested(TransactionSchema, attribute="payment_view", allow_none=True)
    transactions = ma.fields.List(
        ma.fields.Nested(TransactionSchema),
        attribute="payments",
        metadata={"description": "All attempts on the order."},
    )
    history = ma.fields.List(ma.fields.Nested(ExceptionStepSchema), attribute="steps")
    messages = ma.fields.List(ma.fields.Nested(ExceptionMessageSchema))
    receipt = ma.fields.Nested(ExceptionReceiptSchema, allow_none=True)
    suggestions = ma.fields.List(ma.fields.Nested(ExceptionSuggestionSchema))
    claim = ma.fields.Nested(ExceptionClaimSchema, allow_none=True)
    refunds = ma.fields.List(ma.fields.Nested(ExceptionRefundSchema))
    refund_offers = ma.fields.List(ma.fields.Nested(ExceptionOfferSchema), attribute="offers")
    statement_lines = ma.fields.List(ma.fields.Nested(ExceptionLineSchema), attribute="lines")
    decisions = ma.fields.List(ma.fields.Nested(ExceptionDecisionSchema))
    if_paid = ma.fields.Nested(ForesightSchema, allow_none=True)
    if_not_there = ma.fields.Nested(ExceptionLossSchema, allow_none=True)
