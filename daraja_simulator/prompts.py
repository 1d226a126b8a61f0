"""A prompt on a phone, from ringing to its result."""

import itertools
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from daraja_simulator.ledger import Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.outcomes import Plan
from daraja_simulator.push_request import PushRequest
from daraja_simulator.results import CANCELLED, Result


class PromptState(StrEnum):
    WAITING = "waiting"
    PAID = "paid"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Prompt:
    """The core's lock guards what changes: plan, result, receipt, ended_at and the counts.

    It `is_ending` while the shop is asked whether it wants the money; only then has it a
    `receipt` before a result.
    """

    merchant: Merchant
    push: PushRequest
    outcome_name: str
    plan: Plan
    how_manieth: int
    merchant_request_id: str
    checkout_request_id: str
    created_at: datetime
    expires_at: datetime
    result: Result | None = None
    receipt: str | None = None
    ended_at: datetime | None = None
    is_ending: bool = False
    movement: Movement | None = None
    callback_body: bytes | None = None
    is_callback_owed: bool = False
    query_numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def state(self) -> PromptState:
        if self.result is None:
            return PromptState.WAITING
        if self.result.is_success:
            return PromptState.PAID
        return PromptState.CANCELLED if self.result is CANCELLED else PromptState.FAILED

    def to_json(self) -> dict[str, str | int | None]:
        push, result = self.push, self.result
        return {
            "id": self.checkout_request_id,
            "merchant_request_id": self.merchant_request_id,
            "checkout_request_id": self.checkout_request_id,
            "state": self.state.value,
            "outcome": self.outcome_name,
            "phone": push.phone,
            "amount": push.amount,
            "merchant": self.merchant.shortcode,
            "receiver": push.receiver,
            "transaction_type": push.transaction_type.value,
            "account_reference": push.account_reference,
            "description": push.description,
            "callback_url": push.callback_url,
            "result_code": result.code if result else None,
            "result_desc": result.callback_text if result else None,
            "receipt": self.receipt,
            "created_at": self.created_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }
