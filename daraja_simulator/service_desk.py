"""The desk of service requests: acknowledges, has them done, and posts what came of them."""

import logging
from collections import Counter
from itertools import islice

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.core import Core
from daraja_simulator.delivery import Delivery, Letter, LetterKind
from daraja_simulator.express import Express
from daraja_simulator.merchants import Merchant
from daraja_simulator.operations import Done, Found, execute
from daraja_simulator.outcomes import Answer
from daraja_simulator.service_outcomes import TABLE, News
from daraja_simulator.service_request import Ask
from daraja_simulator.service_results import build_result, build_timeout
from daraja_simulator.services import Service, ServiceState
from daraja_simulator.wire import Refused

log = logging.getLogger("daraja_simulator")

# Of these it is on record that they failed; of others not even that they were asked for.
_ON_RECORD = frozenset({"1", "2", "3", "4", "8", "11", "17", "2040", "5555", "SFC_IC0003"})


class NeverHeard(Exception):
    """The connection broke before the request was read."""


class ServiceDesk:
    def __init__(self, core: Core, express: Express) -> None:
        self._core = core
        self._express = express
        self._services: dict[str, Service] = {}
        self._by_originator: dict[str, Service] = {}
        self._counts: Counter[tuple[Api, str]] = Counter()

    # --- what there is ---

    def services(self) -> list[Service]:
        """All that were accepted, oldest first."""
        with self._core.lock:
            return list(self._services.values())

    def newest(self, count: int) -> list[Service]:
        with self._core.lock:
            return list(islice(reversed(self._services.values()), count))

    def count(self) -> int:
        return len(self._services)

    def find(self, any_id: str) -> Service | None:
        """By ConversationID or OriginatorConversationID."""
        with self._core.lock:
            return self._services.get(any_id) or self._by_originator.get(any_id)

    # --- what happens to a request ---

    def take(self, ask: Ask) -> Service:
        """Accept it, or raise Refused or NeverHeard: then nothing will be done."""
        core = self._core
        with core.lock:
            if ask.originator_id and ask.originator_id in self._by_originator:
                raise Refused(wire.DUPLICATE_ORIGINATOR)
            key = (ask.api, ask.originator_id or ask.receipt or ask.receiver or ask.shortcode)
            self._counts[key] += 1
            facts = ("service", *key, self._counts[key])
            outcome = core.script.take(ask.api, TABLE, self._phone_of(ask))
            plan = core.script.bend_service(outcome.plan, core.dice.named("faults", *facts))
            if plan.never_heard:
                raise NeverHeard
            if plan.refusal:
                raise Refused(plan.refusal)
            now = core.clock.now()
            dice = core.dice.named(*facts)
            service = Service(
                ask=ask,
                outcome_name=outcome.name,
                plan=plan,
                originator_id=ask.originator_id or wire.make_request_id(dice),
                conversation_id=wire.make_conversation_id(dice, now),
                created_at=now,
            )
            self._services[service.conversation_id] = service
            self._by_originator[service.originator_id] = service
            if plan.answer is not Answer.AFTER_CALLBACK:
                what = f"result of {ask.api.value} {service.conversation_id}"
                core.timetable.add(core.config.result_seconds, lambda: self._end(service), what)
            return service

    def end_before_answering(self, service: Service) -> None:
        """Do it and have its result delivered before this returns."""
        letter = self._conclude(service)
        posting = service.plan.posting
        if letter is not None and posting.copies:
            self._core.courier.post_and_wait(letter, posting.copies, at_once=posting.at_once)
        elif letter is not None:
            self._core.courier.lose(letter)

    def replay(self, service: Service, times: int, *, at_once: bool) -> list[Delivery]:
        """Deliver the result of a request that has ended again, whatever its plan says."""
        if service.result_body is None:
            raise ValueError("The request has no result yet.")
        letter = self._result_letter(service, service.result_body)
        return self._core.courier.post_and_wait(letter, times, at_once=at_once)

    def reset(self) -> None:
        """Forget requests. Call with the core's lock held."""
        self._services.clear()
        self._by_originator.clear()
        self._counts.clear()

    # --- inside ---

    def _phone_of(self, ask: Ask) -> str:
        """Whose digits decide: the phone that the money goes to, where there is one."""
        if ask.api is Api.B2C:
            return ask.receiver
        original = self._core.ledger.find(ask.receipt) if ask.api is Api.REVERSAL else None
        return original.party if original else ""

    def _end(self, service: Service) -> None:
        letter = self._conclude(service)
        if letter is not None:
            self._core.send(letter, service.plan.posting)

    def _conclude(self, service: Service) -> Letter | None:
        """Do what is to be done, once; the letter that tells of it, if any does."""
        core, plan = self._core, service.plan
        with core.lock:
            if service.ended_at is not None or self._services.get(service.conversation_id) is not (
                service
            ):
                return None
            service.ended_at = core.clock.now()
            if plan.is_executed:
                self._execute(service)
            else:
                service.state = ServiceState.FORGOTTEN
        log.info("%s %s: %s", service.ask.api.value, service.conversation_id, service.state.value)
        match plan.posting.news:
            case News.RESULT if service.result_body is not None:
                return self._result_letter(service, service.result_body)
            case News.QUEUE_TIMEOUT:
                return self._timeout_letter(service)
            case _:
                return None

    def _execute(self, service: Service) -> None:
        core = self._core
        done: Done = execute(core, service, self._find_other)
        service.result, service.movement = done.result, done.movement
        is_success = done.result.is_success
        service.state = ServiceState.DONE if is_success else ServiceState.FAILED
        dice = core.dice.named("result", service.conversation_id)
        service.result_body = build_result(core, service, done, dice)

    def _find_other(self, merchant: Merchant, any_id: str) -> Found | None:
        """What another conversation came to; nothing while it goes on."""
        other = self.find(any_id)
        if other is None or self._core.config.find_receiver(other.ask.shortcode) is not merchant:
            return self._find_push(merchant, any_id)
        if other.movement is not None:
            return Found(other.movement)
        is_on_record = other.result is not None and other.result.code in _ON_RECORD
        return Found(failed=other) if is_on_record and other.ask.api is Api.B2C else None

    def _find_push(self, merchant: Merchant, merchant_request_id: str) -> Found | None:
        if not self._core.config.status_finds_express:
            return None
        prompt = self._express.book.find_by_merchant_request(merchant_request_id)
        if prompt is None or prompt.merchant is not merchant or prompt.movement is None:
            return None
        return Found(prompt.movement)

    def _result_letter(self, service: Service, body: bytes) -> Letter:
        ask = service.ask
        return Letter(
            LetterKind.RESULT, service.conversation_id, ask.shortcode, ask.result_url, body
        )

    def _timeout_letter(self, service: Service) -> Letter:
        ask = service.ask
        body = build_timeout(service, self._core.dice.named("timeout", service.conversation_id))
        return Letter(
            LetterKind.TIMEOUT, service.conversation_id, ask.shortcode, ask.timeout_url, body
        )
