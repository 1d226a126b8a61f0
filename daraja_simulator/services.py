"""A service request that was accepted, from its acknowledgement to its result."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from daraja_simulator.initiators import Seal
from daraja_simulator.ledger import Movement, print_shillings
from daraja_simulator.results import Result
from daraja_simulator.service_outcomes import ServicePlan
from daraja_simulator.service_request import Ask


class ServiceState(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    FORGOTTEN = "forgotten"  # acknowledged, and nothing was done


@dataclass(slots=True, eq=False)
class Service:
    """The core's lock guards what changes: state, result, movement, ended_at, result_body."""

    ask: Ask
    outcome_name: str
    plan: ServicePlan
    originator_id: str
    conversation_id: str
    created_at: datetime
    state: ServiceState = ServiceState.WAITING
    seal: Seal | None = None
    result: Result | None = None
    movement: Movement | None = None
    ended_at: datetime | None = None
    result_body: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        ask, result = self.ask, self.result
        return {
            "id": self.conversation_id,
            "originator_conversation_id": self.originator_id,
            "conversation_id": self.conversation_id,
            "api": ask.api.value,
            "state": self.state.value,
            "outcome": self.outcome_name,
            "command": ask.command,
            "initiator": ask.initiator,
            "credential": self.seal.value if self.seal else None,
            "merchant": ask.shortcode,
            "receiver": ask.receiver or None,
            "amount": print_shillings(ask.amount_cents) if ask.amount_cents else None,
            "account": ask.account or None,
            "transaction_id": ask.receipt or None,
            "queried_conversation_id": ask.conversation_id or None,
            "result_url": ask.result_url,
            "timeout_url": ask.timeout_url,
            "result_code": result.code if result else None,
            "result_desc": result.callback_text if result else None,
            "receipt": self.movement.receipt if self.movement else None,
            "created_at": self.created_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }
