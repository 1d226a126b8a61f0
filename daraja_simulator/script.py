"""Which outcome the next push, payment or request has: forced, or else by the phone."""

from collections import deque
from dataclasses import replace
from random import Random
from typing import TypeVar

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.c2b_outcomes import C2bPlan
from daraja_simulator.faults import C2B_FAULTS, PUSH_FAULTS, REQUEST_FAULTS, Faults
from daraja_simulator.outcomes import Answer, Plan, QueryFault
from daraja_simulator.posting import spoil_posting
from daraja_simulator.service_outcomes import News, ServicePlan
from daraja_simulator.table import AnyPlan, Outcome, Table

P = TypeVar("P", bound=AnyPlan)


class Script:
    """Forced outcomes are used up in the order they were given; the core's lock guards them."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._next: dict[tuple[Api, str | None], deque[str]] = {}

    def force(self, api: Api, outcome: str, phone: str | None, count: int) -> None:
        """By its name. For one phone, or with None for whichever phone comes first."""
        self._next.setdefault((api, phone), deque()).extend([outcome] * count)

    def forced(self) -> list[dict[str, str | None]]:
        return [
            {"api": api.value, "phone": phone, "outcome": outcome}
            for (api, phone), outcomes in self._next.items()
            for outcome in outcomes
        ]

    def take(self, api: Api, table: Table[P], phone: str) -> Outcome[P]:
        for key in ((api, phone), (api, None)):
            if self._next.get(key):
                return table.find(self._next[key].popleft()) or table.default
        return table.of_phone(phone)

    def clear(self) -> None:
        self.faults = Faults()
        self._next.clear()

    def bend_push(self, plan: Plan, dice: Random) -> Plan:
        """Let chance spoil a plan that is otherwise accepted."""
        rolls = self.faults.roll(PUSH_FAULTS, dice)
        if plan.refusal:
            return plan
        if rolls["refused"]:
            return replace(plan, refusal=wire.SYSTEM_BUSY)
        callback = spoil_posting(
            plan.callback,
            lost=rolls["callback_lost"],
            twice=rolls["callback_twice"],
            late=rolls["callback_late"],
        )
        answer = Answer.CUT if rolls["answer_lost"] else plan.answer
        query = QueryFault.FLAKY if rolls["query_error"] else plan.query
        return replace(plan, callback=callback, answer=answer, query=query)

    def bend_payment(self, plan: C2bPlan, dice: Random) -> C2bPlan:
        rolls = self.faults.roll(C2B_FAULTS, dice)
        confirmation = spoil_posting(
            plan.confirmation,
            lost=rolls["confirmation_lost"],
            twice=rolls["confirmation_twice"],
            late=rolls["confirmation_late"],
        )
        is_lost = plan.is_validation_lost or rolls["validation_lost"]
        return replace(plan, confirmation=confirmation, is_validation_lost=is_lost)

    def bend_service(self, plan: ServicePlan, dice: Random) -> ServicePlan:
        """Let chance spoil a request that is otherwise accepted."""
        rolls = self.faults.roll(REQUEST_FAULTS, dice)
        if plan.refusal or plan.never_heard:
            return plan
        if rolls["request_refused"]:
            return replace(plan, refusal=wire.SYSTEM_BUSY)
        posting = spoil_posting(
            plan.posting,
            lost=rolls["result_lost"],
            twice=rolls["result_twice"],
            late=rolls["result_late"],
        )
        answer = Answer.CUT if rolls["ack_lost"] else plan.answer
        if rolls["queue_timeout"]:
            posting = replace(posting, news=News.QUEUE_TIMEOUT)
            return replace(plan, answer=answer, is_executed=False, posting=posting)
        return replace(plan, answer=answer, posting=posting)
