"""A payment that a customer starts, from the menu of the phone to the money."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from daraja_simulator.c2b_outcomes import C2bPlan
from daraja_simulator.merchants import Merchant


class PaymentState(StrEnum):
    STARTED = "started"
    VALIDATING = "validating"
    COMPLETED = "completed"
    REJECTED = "rejected"  # by the shop
    CANCELLED = "cancelled"  # nobody answered, and that is what was registered for the case
    FAILED = "failed"  # by M-Pesa


@dataclass(slots=True, eq=False)
class Payment:
    """The core's lock guards what changes: state, result, third_party_id, ended_at."""

    merchant: Merchant
    phone: str
    amount: int
    account: str
    outcome_name: str
    plan: C2bPlan
    transaction_id: str
    created_at: datetime
    state: PaymentState = PaymentState.STARTED
    result_code: str | None = None
    third_party_id: str = ""
    ended_at: datetime | None = None
    confirmation_body: bytes | None = None

    def to_json(self) -> dict[str, str | int | None]:
        return {
            "id": self.transaction_id,
            "state": self.state.value,
            "outcome": self.outcome_name,
            "phone": self.phone,
            "amount": self.amount,
            "merchant": self.merchant.shortcode,
            "receiver": self.merchant.receiver,
            "account": self.account,
            "result_code": self.result_code,
            "third_party_id": self.third_party_id,
            "created_at": self.created_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }
