"""What only a person can decide about money: one queue, all that is known, what solves it.

Each action is one short transaction: order, payment, receipt and then the task are locked in this
order, what applies is looked at anew, and who comes second finds the matter decided.
"""

from app.services.exceptions.actions import Action, Situation, allowed_actions
from app.services.exceptions.doubts import (
    give_right_amount,
    say_it_is_not_there,
    say_it_is_there,
)
from app.services.exceptions.file import ExceptionFile, Made, Suggested, read_exception
from app.services.exceptions.foresee import Effect, Foresight, foresee
from app.services.exceptions.messages import retry_message, write_note
from app.services.exceptions.offers import RefundOffer
from app.services.exceptions.payments import PaidWord, give_receipt, say_not_paid, say_paid
from app.services.exceptions.queue import (
    QueueCount,
    QueueCounts,
    Queued,
    QueueFilter,
    QueueOrder,
    count_exceptions,
    list_exceptions,
)
from app.services.exceptions.unmatched import (
    Attachment,
    attach_to_order,
    dismiss,
    foresee_attachment,
)

__all__ = [
    "Action",
    "Attachment",
    "Effect",
    "ExceptionFile",
    "Foresight",
    "Made",
    "PaidWord",
    "QueueCount",
    "QueueCounts",
    "QueueFilter",
    "QueueOrder",
    "Queued",
    "RefundOffer",
    "Situation",
    "Suggested",
    "allowed_actions",
    "attach_to_order",
    "count_exceptions",
    "dismiss",
    "foresee",
    "foresee_attachment",
    "give_receipt",
    "give_right_amount",
    "list_exceptions",
    "read_exception",
    "retry_message",
    "say_it_is_not_there",
    "say_it_is_there",
    "say_not_paid",
    "say_paid",
    "write_note",
]
